package devstack

// watchdog is a shell script that runs a server for as long as its standard input stays open, so that nothing is left
// when the process that holds the other end ends, by whatever cause. It is started before anything else is made.
// Its first argument is the server's folder, the others belong to the functions run, crash and end, which stand in front
// of it: see [programsServer], [containerServer] and [plainProgram].
//
// Its input is lines. "start" starts the server; "kill" crashes it, after which "start" starts it again; "restart" does both. The
// end of the input stops the server and removes the folder.
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
halt() {
	[ ! -e ended ] || return 0
	: >crashing
	crash
	wait $keeper
}
while read -r line; do
	case $line in
	start) start "$@" ;;
	kill)
		halt
		: >ended
		;;
	restart)
		halt
		start "$@"
		;;
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

// plainProgram are the watchdog's functions for a pooler or a Vault: the arguments are the program and its own. It keeps
// nothing that an end without a question could damage. What Vault prints is thrown away, since it shows the root token.
const plainProgram = `
run() {
	"$@" >/dev/null &
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
