{{- define "pgbouncer.namespace" -}}
{{- .Values.cluster.namespace | default .Release.Namespace -}}
{{- end }}

{{/* The certificates of all poolers. */}}
{{- define "brownie.wanted" -}}
{{- $name := printf "%s.%s.svc" (include "brownie.name" .) .Release.Namespace -}}
server: { commonName: {{ $name }}, dnsNames: {{ prepend .Values.outside.dnsNames $name | toJson }}, usages: [server auth] }
client: { commonName: {{ .Values.certificates.client.commonName | quote }}, usages: [client auth] }
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
{{- range $side := list "client" "server" }}
{{- $kind := eq $side "client" | ternary "server" "client" }}
{{- with include "brownie.trusted" (dict "root" $ "kind" $kind) }}
{{- $_ := set $ours (printf "%s_tls_ca_file" $side) (printf "%s/ca.crt" .) }}
{{- end }}
{{- end }}
{{- range $name, $value := .Values.settings }}
{{- $_ := set $ours $name $value }}
{{- end }}
{{- range $name, $value := $ours }}
{{ $name }} = {{ if and (kindIs "float64" $value) (eq (floor $value) $value) }}{{ int64 $value }}{{ else }}{{ $value }}{{ end }}
{{- end }}
{{- end }}
