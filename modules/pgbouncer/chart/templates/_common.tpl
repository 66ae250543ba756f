{{/* What the charts have in common. The source is in modules/postgres-ha; `make generate` copies it to the others. */}}

{{- define "brownie.name" -}}
{{- .Values.fullnameOverride | default .Release.Name -}}
{{- end }}

{{/* What selects the chart's pods, and never changes. */}}
{{- define "brownie.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ include "brownie.name" . }}
{{- end }}

{{- define "brownie.labels" -}}
{{ include "brownie.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "brownie.image" -}}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag }}{{ end -}}
{{- end }}

{{/* Where pods may run, and from where their images come. */}}
{{- define "brownie.placement" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{ toJson . }}
{{- end }}
{{- end }}

{{/* The same, spread over hosts and zones: dict "root" $ "labels" (those that select the pods). */}}
{{- define "brownie.scheduling" -}}
{{- include "brownie.placement" .root }}
{{- $spread := .root.Values.spread -}}
{{- $host := dict "topologyKey" "kubernetes.io/hostname" "labelSelector" (dict "matchLabels" (fromYaml .labels)) }}
{{- if eq $spread.host "required" }}
affinity:
  podAntiAffinity:
    requiredDuringSchedulingIgnoredDuringExecution: {{ list $host | toJson }}
{{- else if eq $spread.host "preferred" }}
affinity:
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution: {{ list (dict "weight" 100 "podAffinityTerm" $host) | toJson }}
{{- end }}
{{- if ne $spread.zone "none" }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: topology.kubernetes.io/zone
    whenUnsatisfiable: {{ eq $spread.zone "required" | ternary "DoNotSchedule" "ScheduleAnyway" }}
    labelSelector:
      matchLabels: {{ .labels | nindent 8 }}
{{- end }}
{{- end }}

{{/* The Secret of one of the certificates: dict "root" $ "kind" "server". */}}
{{- define "brownie.secret" -}}
{{- $certificate := index .root.Values.certificates .kind -}}
{{- if $certificate.secret -}}
{{ $certificate.secret }}
{{- else if or $certificate.issuer .root.Values.certificates.issuer.name -}}
{{ include "brownie.name" .root }}-{{ .kind }}
{{- else -}}
{{ fail (printf "certificates.%s: name a Secret, or an issuer of cert-manager" .kind) }}
{{- end -}}
{{- end }}

{{/* A volume with one of the certificates: dict "root" $ "kind" "server". */}}
{{- define "brownie.certificate" -}}
name: {{ .kind }}-certificate
projected:
  defaultMode: 0440
  sources:
    - secret:
        name: {{ include "brownie.secret" . }}
        items:
          - { key: tls.crt, path: tls.crt }
          - { key: tls.key, path: tls.key }
    - {{ include "brownie.authorities" . | nindent 6 | trim }}
{{- end }}

{{/* Who signs that kind of certificate. The REST API has an authority of its own. */}}
{{- define "brownie.authorities" -}}
{{- $shared := .root.Values.certificates.authorities -}}
{{- $own := or (eq .kind "api") (not $shared.configMap) -}}
{{ $own | ternary "secret" "configMap" }}:
  name: {{ if $own }}{{ include "brownie.secret" . }}{{ else }}{{ $shared.configMap }}{{ end }}
  items:
    - { key: {{ $own | ternary "ca.crt" $shared.key }}, path: ca.crt }
{{- end }}

{{/* What cert-manager is asked for: dict "root" $ "kind" "server" "commonName" … "dnsNames" (list …) "usages" (list …). */}}
{{- define "brownie.request" -}}
{{- $all := .root.Values.certificates -}}
{{- $certificate := index $all .kind -}}
{{- $issuer := $certificate.issuer | default $all.issuer.name }}
{{- if and $issuer (not $certificate.secret) }}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata:
  name: {{ include "brownie.name" .root }}-{{ .kind }}
  labels: {{ include "brownie.labels" .root | nindent 4 }}
spec:
  secretName: {{ include "brownie.name" .root }}-{{ .kind }}
  {{- if le (len .commonName) 64 }}
  commonName: {{ .commonName }}
  {{- end }}
  duration: {{ $all.duration }}
  renewBefore: {{ $all.renewBefore }}
  privateKey: { algorithm: ECDSA, size: 256, rotationPolicy: Always }
  issuerRef:
    name: {{ $issuer }}
    kind: {{ $all.issuer.kind }}
    group: {{ $all.issuer.group }}
  usages:
    - digital signature
    {{- range .usages }}
    - {{ . }}
    {{- end }}
  {{- with .dnsNames }}
  dnsNames:
    {{- range . }}
    - {{ quote . }}
    {{- end }}
  {{- end }}
{{- end }}
{{- end }}

{{/* A volume with the service account's token, for the one container that gets it. */}}
{{- define "brownie.token" -}}
name: token
projected:
  sources:
    - serviceAccountToken: { path: token, expirationSeconds: 3607 }
    - configMap:
        name: kube-root-ca.crt
        items:
          - { key: ca.crt, path: ca.crt }
    - downwardAPI:
        items:
          - path: namespace
            fieldRef: { fieldPath: metadata.namespace }
{{- end }}

{{/* What Pod Security "restricted" asks for, and a read-only root. */}}
{{- define "brownie.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}
{{- define "brownie.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* One side of a NetworkPolicy's rule. */}}
{{- define "brownie.peer" -}}
{{- if .cidr }}
- ipBlock:
    cidr: {{ .cidr | quote }}
{{- else }}
- podSelector:
    matchLabels: {{ .podLabels | default dict | toJson }}
  {{- with .namespaceLabels }}
  namespaceSelector:
    matchLabels: {{ toJson . }}
  {{- end }}
{{- end }}
{{- end }}

{{/* The ways out of a pod that everybody needs, or that reach the API server. */}}
{{- define "brownie.egressToDNS" -}}
- ports:
    - { port: 53, protocol: UDP }
    - { port: 53, protocol: TCP }
{{- end }}
{{- define "brownie.egressToAPIServer" -}}
- to:
    {{- range .Values.networkPolicy.apiServer.cidrs }}
    - ipBlock: { cidr: {{ . | quote }} }
    {{- end }}
  ports:
    {{- range .Values.networkPolicy.apiServer.ports }}
    - { port: {{ . }}, protocol: TCP }
    {{- end }}
{{- end }}
