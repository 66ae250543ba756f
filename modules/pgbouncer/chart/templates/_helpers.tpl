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
  "dns_max_ttl" 2
  "dns_nxdomain_ttl" 1
-}}
{{- range $name, $value := merge (deepCopy .Values.settings) $ours }}
{{ $name }} = {{ $value }}
{{- end }}
{{- end }}
