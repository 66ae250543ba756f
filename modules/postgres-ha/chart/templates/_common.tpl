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

{{/* Who issues one of the certificates, unless a Secret holds it: dict "root" $ "kind" "server". */}}
{{- define "brownie.issuer" -}}
{{- $all := .root.Values.certificates -}}
{{- $certificate := index $all .kind -}}
{{- if not $certificate.secret -}}
{{- $missing := printf "certificates.%s: name a Secret, or an issuer of cert-manager" .kind -}}
{{ $certificate.issuer | default $all.issuer.name | required $missing }}
{{- end -}}
{{- end }}

{{/* Whether cert-manager's csi-driver brings it. */}}
{{- define "brownie.csi" -}}
{{- if and .root.Values.certificates.csi (include "brownie.issuer" .) }}true{{ end -}}
{{- end }}

{{/* Its Secret, where it has one. */}}
{{- define "brownie.secret" -}}
{{ (index .root.Values.certificates .kind).secret | default (printf "%s-%s" (include "brownie.name" .root) .kind) }}
{{- end }}

{{/* A volume with it: dict "root" $ "kind" "server". */}}
{{- define "brownie.certificate" -}}
{{- $all := .root.Values.certificates -}}
name: {{ .kind }}-certificate
{{- if include "brownie.csi" . }}
{{- $wanted := index (include "brownie.wanted" .root | fromYaml) .kind }}
csi:
  driver: csi.cert-manager.io
  readOnly: true
  volumeAttributes:
    csi.cert-manager.io/issuer-name: {{ include "brownie.issuer" . }}
    csi.cert-manager.io/issuer-kind: {{ $all.issuer.kind }}
    csi.cert-manager.io/issuer-group: {{ $all.issuer.group }}
    {{- if le (len $wanted.commonName) 64 }}
    csi.cert-manager.io/common-name: {{ $wanted.commonName }}
    {{- end }}
    {{- with $wanted.dnsNames }}
    csi.cert-manager.io/dns-names: {{ join "," . | quote }}
    {{- end }}
    csi.cert-manager.io/key-usages: {{ prepend $wanted.usages "digital signature" | join "," }}
    csi.cert-manager.io/duration: {{ $all.duration }}
    csi.cert-manager.io/renew-before: {{ $all.renewBefore }}
    csi.cert-manager.io/key-algorithm: ECDSA
    csi.cert-manager.io/key-size: "256"
    # Its files belong to root; the pod's group may read them.
    csi.cert-manager.io/fs-group: "10001"
{{- else }}
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

{{/* The folder with ca.crt, if not the certificate's own: nothing can be added to a volume of the csi-driver. */}}
{{- define "brownie.trusted" -}}
{{- if and .root.Values.certificates.authorities.configMap (ne .kind "api") (include "brownie.csi" .) -}}
/tls/authorities
{{- end -}}
{{- end }}

{{/* Whether that is so of any certificate. */}}
{{- define "brownie.apart" -}}
{{- range $kind, $_ := include "brownie.wanted" . | fromYaml -}}
{{- include "brownie.trusted" (dict "root" $ "kind" $kind) -}}
{{- end -}}
{{- end }}

{{/* The authorities alone. */}}
{{- define "brownie.bundle" -}}
name: authorities
projected:
  sources:
    - {{ include "brownie.authorities" . | nindent 6 | trim }}
{{- end }}

{{/* What cert-manager is asked to keep in a Secret: dict "root" $ "kind" "server". */}}
{{- define "brownie.request" -}}
{{- $all := .root.Values.certificates -}}
{{- $issuer := include "brownie.issuer" . -}}
{{- if and $issuer (not $all.csi) }}
{{- $wanted := index (include "brownie.wanted" .root | fromYaml) .kind }}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata:
  name: {{ include "brownie.secret" . }}
  labels: {{ include "brownie.labels" .root | nindent 4 }}
spec:
  secretName: {{ include "brownie.secret" . }}
  {{- if le (len $wanted.commonName) 64 }}
  commonName: {{ $wanted.commonName }}
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
    {{- range $wanted.usages }}
    - {{ . }}
    {{- end }}
  {{- with $wanted.dnsNames }}
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
