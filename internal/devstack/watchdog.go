package devstack

// watchdog is a shell script that runs a server for as long as its standard input stays open, so that nothing is left
// when the process that holds the other end ends, by whatever cause. It is started before anything else is made.
// Its first argument is the server's folder, the others belong to the functions run, crash and end, which stand in front
// of it: see [programsServer], [containerServer], [programsPooler] and [programsVault].
//
// Its input is lines. "start" starts the server; "restart" crashes it and starts it again; "stop" or the end of the input stops
// the server and removes the folder.
// The file "ended" appears when the server ends other than by "restart".
const watchdog = `
folder=$1
shift
cd "$folder" || exit
keeper=
start() {
	rm -f ended crashing
	# After a crash on purpose there is no "ended": whoever waits for the restart would take it for a failure.
	{ run "$@" </dev/null >>log 2>&1; [ -e crashing ] || : >ended; } &
	keeper=$!
}
while read -r line; do
	case $line in
	start) start "$@" ;;
	restart)
		if [ ! -e ended ]; then
			: >crashing
			crash
			wait $keeper
		fi
		start "$@"
		;;
	stop) break ;;
	esac
done
if [ -n "$keeper" ]; then end; fi
cd /
rm -rf "$folder"
`

// programsServer are the watchdog's functions for a server whose programs are on this machine. Its arguments are the
// programs' folder and the server's arguments. The process that runs now is in the file "pid", so that an end also ends
// initdb. The end is a fast shutdown, which is asked for until it happens, since a program that has just been started
// may not listen yet; after 20 seconds an immediate shutdown, and after 10 more no question is asked.
const programsServer = `
run() {
	bin=$1
	shift
	if [ ! -e initialized ]; then
		# Nobody but the watchdog ends it: Ctrl-C in a terminal does not reach here.
		"$bin/initdb" --pgdata=data --username=postgres --auth=reject --encoding=UTF8 --locale=C --no-sync &
		echo $! >pid
		wait $! || return
		echo "include '../server/postgresql.conf'" >>data/postgresql.conf
		: >initialized
	fi
	"$bin/postgres" -D data "$@" &
	echo $! >pid
	wait $!
}
crash() { kill -QUIT "$(cat pid)"; }
end() {
	tries=0 signal=INT
	until [ -e ended ]; do
		case $tries in
		400) signal=QUIT ;;
		600) signal=KILL ;;
		esac
		kill -$signal "$(cat pid)"
		tries=$((tries + 1))
		sleep 0.05
	done
}
`

// programsPooler are the watchdog's functions for a pooler. Its argument is the program. It keeps nothing that an end without a question could damage.
const programsPooler = `
run() {
	"$1" "$folder/pgbouncer.ini" &
	echo $! >pid
	wait $!
}
crash() { kill -KILL "$(cat pid)"; }
end() {
	until [ -e ended ]; do
		crash
		sleep 0.05
	done
}
`

// programsVault are the watchdog's functions for a Vault. Its arguments are the program and the port. The root token is
// given where neither the list of processes nor the log shows it; what the server prints when it starts repeats it.
const programsVault = `
run() {
	VAULT_DEV_ROOT_TOKEN_ID=$(cat token) BAO_DEV_ROOT_TOKEN_ID=$(cat token) HOME=$folder \
		"$1" server -dev -dev-no-store-token -dev-listen-address="127.0.0.1:$2" >/dev/null &
	echo $! >pid
	wait $!
}
crash() { kill -KILL "$(cat pid)"; }
end() {
	until [ -e ended ]; do
		crash
		sleep 0.05
	done
}
`

// containerServer are the watchdog's functions for a server in a container. Its arguments are the container's name and
// what "docker create" is told after it. Certificates are copied in, since the daemon need not see this machine's files.
// The end is repeated until the client that runs the server has ended, since that may be about to make the container.
const containerServer = `
name=$2
run() {
	shift
	if [ ! -e initialized ]; then
		docker create --name "$name" "$@" && docker cp server/. "$name:/brownie" || return
		: >initialized
	fi
	docker start --attach "$name"
}
crash() { docker kill --signal QUIT "$name"; }
end() {
	until [ -e ended ]; do
		docker rm --force --volumes "$name"
		sleep 0.1
	done
	docker rm --force --volumes "$name"
}
`

// inContainer is the container's program. Files that were copied in belong to root, and the server reads a key only when
// it is its own. The image's own start script is not used: before the server it starts another one that must let
// everybody in through a socket. The arguments are the server's.
const inContainer = `
set -e
install -d -o postgres -m 700 /etc/brownie /srv/brownie
install -o postgres -m 600 /brownie/* /etc/brownie
if [ ! -e /srv/brownie/initialized ]; then
	gosu postgres initdb --pgdata=/srv/brownie/data --username=postgres --auth=reject --encoding=UTF8 --locale=C --no-sync
	echo "include '/etc/brownie/postgresql.conf'" >>/srv/brownie/data/postgresql.conf
	touch /srv/brownie/initialized
fi
exec gosu postgres postgres -D /srv/brownie/data "$@"
`
