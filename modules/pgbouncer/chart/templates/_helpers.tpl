{{- define "pgbouncer.namespace" -}}
{{- .Values.cluster.namespace | default .Release.Namespace -}}
{{- end }}

{{/* What follows postgres-auth's lines: of settings that are given twice, the last counts. */}}
{{- define "pgbouncer.settings" -}}
{{- $ours := dict
  "server_fast_close" 1
  "server_login_retry" 0.2
  "server_connect_timeout" 2
  "tcp_user_timeout" 3000
  "tcp_keepalive" 1
  "tcp_keepidle" 2
  "tcp_keepintvl" 1
  "tcp_keepcnt" 3
  "dns_max_ttl" 2
  "dns_nxdomain_ttl" 1
-}}
{{- range $name, $value := .Values.settings }}
{{- $_ := set $ours $name $value }}
{{- end }}
{{- range $name, $value := $ours }}
{{ $name }} = {{ if and (kindIs "float64" $value) (eq (floor $value) $value) }}{{ int64 $value }}{{ else }}{{ $value }}{{ end }}
{{- end }}
{{- end }}
