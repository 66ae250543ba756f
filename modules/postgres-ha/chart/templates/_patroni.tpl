{{/* Settings that Patroni keeps the same on all members, so that it takes them from its store only. */}}
{{- define "postgres-ha.shared" -}}
max_connections max_locks_per_transaction max_prepared_transactions max_replication_slots max_wal_senders max_worker_processes
track_commit_timestamp wal_keep_size wal_level
{{- end }}

{{/* How much log lies between two checkpoints (max_wal_size), and so how much both a former leader and its successor have to keep for the
former to find back (pg_rewind): what is older than the last checkpoint that they have in common is not needed. A tenth of the volume. */}}
{{- define "postgres-ha.log" -}}
{{- $size := ternary .Values.wal.size .Values.storage.size .Values.wal.enabled -}}
{{- $mebibytes := dict "Mi" 1 "Gi" 1024 "Ti" 1048576 "M" 0.953674 "G" 953.674 "T" 953674 -}}
{{- $unit := get $mebibytes (regexFind "[A-Za-z]*$" $size) | default 0 -}}
{{- printf "%dMB" (min 1024 (int (divf (mulf (regexFind "^[0-9.]+" $size | float64) $unit) 10))) -}}
{{- end }}

{{/* What Patroni keeps in its store, for all members. */}}
{{- define "postgres-ha.dynamic" -}}
{{- $parameters := dict -}}
{{- range splitList " " (include "postgres-ha.shared" . | replace "\n" " ") -}}
{{- if hasKey $.Values.postgresql.parameters . -}}
{{- $_ := set $parameters . (get $.Values.postgresql.parameters .) -}}
{{- end -}}
{{- end -}}
{{- if not (hasKey $parameters "wal_keep_size") -}}
{{- $_ := get .Values.postgresql.parameters "max_wal_size" | default (include "postgres-ha.log" .) | set $parameters "wal_keep_size" -}}
{{- end -}}
{{- $modes := dict "on" true "off" false "quorum" "quorum" -}}
{{- $dynamic := dict
  "ttl" .Values.patroni.ttl
  "loop_wait" .Values.patroni.loopWait
  "retry_timeout" .Values.patroni.retryTimeout
  "primary_start_timeout" 0
  "failsafe_mode" true
  "check_timeline" true
  "synchronous_mode" (get $modes .Values.synchronous.mode)
  "synchronous_mode_strict" (and .Values.synchronous.strict (ne .Values.synchronous.mode "off"))
  "synchronous_node_count" .Values.synchronous.replicas
  "postgresql" (dict "use_pg_rewind" true "use_slots" true "parameters" $parameters)
-}}
{{- if .Values.standby.host -}}
{{- $_ := dict "host" .Values.standby.host "port" .Values.standby.port "create_replica_methods" (list "basebackup") | set $dynamic "standby_cluster" -}}
{{- end -}}
{{- toPrettyJson $dynamic -}}
{{- end }}

{{/* The same as a change of what is there: null takes away what was set before. */}}
{{- define "postgres-ha.change" -}}
{{- $change := include "postgres-ha.dynamic" . | fromJson -}}
{{- if not .Values.standby.host -}}
{{- $_ := set $change "standby_cluster" nil -}}
{{- end -}}
{{- range splitList " " (include "postgres-ha.shared" . | replace "\n" " ") -}}
{{- if not (hasKey $change.postgresql.parameters .) -}}
{{- $_ := set $change.postgresql.parameters . nil -}}
{{- end -}}
{{- end -}}
{{- toPrettyJson $change -}}
{{- end }}

{{/* The other settings, which each member reads from its own file. */}}
{{- define "postgres-ha.parameters" -}}
{{- $own := deepCopy .Values.postgresql.parameters -}}
{{- range splitList " " (include "postgres-ha.shared" . | replace "\n" " ") -}}
{{- $_ := unset $own . -}}
{{- end -}}
{{- $ours := dict
  "hba_file" "/etc/patroni/pg_hba.conf"
  "ident_file" "/etc/patroni/pg_ident.conf"
  "unix_socket_directories" "/run/postgresql"
  "wal_log_hints" "on"
  "shared_preload_libraries" "pgaudit"
  "pgaudit.log" .Values.postgresql.audit
-}}
{{- if .Values.crl.enabled -}}
{{- $_ := set $ours "ssl_crl_file" "/var/lib/postgresql/crl/crl.pem" -}}
{{- end -}}
{{- with include "brownie.trusted" (dict "root" . "kind" "server") -}}
{{- $_ := set $ours "ssl_ca_file" (printf "%s/ca.crt" .) -}}
{{- end -}}
{{- $defaults := dict "max_wal_size" (include "postgres-ha.log" .) "wal_sender_timeout" "5s" "wal_receiver_timeout" "5s" "wal_retrieve_retry_interval" "200ms" -}}
{{- merge $ours $own $defaults | toYaml -}}
{{- end }}

{{- define "postgres-ha.login" -}}
username: {{ . }}
sslmode: verify-full
sslrootcert: /tls/{{ . }}/ca.crt
sslcert: /tls/{{ . }}/tls.crt
sslkey: /tls/{{ . }}/tls.key
{{- end }}

{{- define "postgres-ha.patroni" -}}
scope: {{ include "brownie.name" . }}
# Such an answer of the API server is none: failsafe mode then counts. Here, since a reload of Patroni 4.1 does not see those below.
retriable_http_codes: &codes [403, 429, 500, 502, 503, 504]
kubernetes:
  retriable_http_codes: *codes
  namespace: {{ .Release.Namespace }}
  use_endpoints: false
  scope_label: cluster-name
  role_label: role
  labels: {{ include "brownie.selector" . | nindent 4 }}
restapi:
  listen: "*:8008"
  verify_client: required
  certfile: /tls/api/tls.crt
  keyfile: /tls/api/tls.key
  cafile: /tls/api/ca.crt
  server_tokens: ProductOnly
ctl:
  certfile: /tls/api/tls.crt
  keyfile: /tls/api/tls.key
  cacert: /tls/api/ca.crt
bootstrap:
  dcs: {{ include "postgres-ha.dynamic" . | fromJson | toYaml | nindent 4 }}
  initdb:
    - encoding: UTF8
    - locale: C.UTF-8
    - data-checksums
    - auth-local: peer
    - auth-host: reject
    {{- if .Values.wal.enabled }}
    - waldir: /var/lib/postgresql-wal/pg_wal
    {{- end }}
  post_bootstrap: sh /etc/patroni/post-bootstrap
postgresql:
  listen: "*:5432"
  data_dir: /var/lib/postgresql/data
  # In place of initdb's: what the module postgres-auth renders.
  custom_conf: /etc/patroni/server.conf
  pgpass: /tmp/pgpass
  use_unix_socket: true
  use_unix_socket_repl: true
  # What a rewind would discard, a copy of the leader discards, too. Without, such a member is none until a person comes.
  remove_data_directory_on_rewind_failure: true
  basebackup:
    - checkpoint: fast
    {{- if .Values.wal.enabled }}
    - waldir: /var/lib/postgresql-wal/pg_wal
    {{- end }}
  authentication:
    superuser:
      username: postgres
    replication: {{ include "postgres-ha.login" "replicator" | nindent 6 }}
    rewind: {{ include "postgres-ha.login" "rewind" | nindent 6 }}
  parameters: {{ include "postgres-ha.parameters" . | nindent 4 }}
{{- end }}
