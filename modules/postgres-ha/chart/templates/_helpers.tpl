{{/* The members, and what Patroni keeps of them. */}}
{{- define "postgres-ha.members" -}}
{{ include "brownie.selector" . }}
cluster-name: {{ include "brownie.name" . }}
{{- end }}

{{/* The names that members can have, those that are about to go included. */}}
{{- define "postgres-ha.names" -}}
{{- $names := list -}}
{{- range until 9 -}}
{{- $names = append $names (printf "%s-%d" (include "brownie.name" $) .) -}}
{{- end -}}
{{- toYaml $names -}}
{{- end }}

{{/* The domain of the members' own names. */}}
{{- define "postgres-ha.domain" -}}
{{ include "brownie.name" . }}-members.{{ .Release.Namespace }}.svc
{{- end }}

{{/* The certificates. A Secret is all members'; of the csi-driver's, each member has its own. */}}
{{- define "brownie.wanted" -}}
{{- $name := include "brownie.name" . -}}
{{- $member := printf "%s.%s" (.Values.certificates.csi | ternary "${POD_NAME}" "*") (include "postgres-ha.domain" .) -}}
server:
  commonName: {{ $name }}-primary.{{ .Release.Namespace }}.svc
  dnsNames:
    - {{ $member | quote }}
    {{- range list "primary" "replicas" "any" }}
    - {{ $name }}-{{ . }}.{{ $.Release.Namespace }}.svc
    {{- end }}
  usages: [server auth]
replication: { commonName: replicator, usages: [client auth] }
rewind: { commonName: rewind, usages: [client auth] }
api: { commonName: {{ $name }}-api, dnsNames: [{{ $member | quote }}], usages: [server auth, client auth] }
{{- end }}

{{/* What a schema cannot say. */}}
{{- define "postgres-ha.check" -}}
{{- $needed := add .Values.patroni.loopWait (mul 2 .Values.patroni.retryTimeout) -}}
{{- if lt (int .Values.patroni.ttl) (int $needed) -}}
{{- fail (printf "patroni.ttl must be at least loopWait + 2 × retryTimeout, which is %d" $needed) -}}
{{- end -}}
{{- if and (ne .Values.synchronous.mode "off") (ge (int .Values.synchronous.replicas) (int .Values.instances)) (or .Values.synchronous.strict (gt (int .Values.instances) 1)) -}}
{{- fail "synchronous.replicas must be less than instances: writes would wait for members that are not there" -}}
{{- end -}}
{{- if and .Values.upgrade.from .Values.wal.enabled -}}
{{- fail "upgrade.from: a write-ahead log on a volume of its own cannot be upgraded yet" -}}
{{- end -}}
{{- if and .Values.crl.enabled (not .Values.certificates.authorities.configMap) (include "brownie.csi" (dict "root" . "kind" "server")) -}}
{{- fail "crl.enabled: with certificates of the csi-driver, name those who sign them in certificates.authorities" -}}
{{- end -}}
{{- if gt (len (include "brownie.name" .)) 40 -}}
{{- fail "the release's name is longer than 40 characters: give a shorter one in fullnameOverride" -}}
{{- end -}}
{{- end }}
