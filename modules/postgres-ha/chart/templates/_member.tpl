{{/* What a member's scripts need to know. */}}
{{- define "postgres-ha.identity" -}}
- name: POD_NAME
  valueFrom: { fieldRef: { fieldPath: metadata.name } }
- name: POD_IP
  valueFrom: { fieldRef: { fieldPath: status.podIP } }
- { name: DOMAIN, value: {{ include "postgres-ha.domain" . }} }
{{- end }}

{{- define "postgres-ha.environment" -}}
{{ include "postgres-ha.identity" . }}
- { name: DATABASE, value: {{ .Values.bootstrap.database | quote }} }
- { name: ADMINISTRATOR, value: {{ .Values.bootstrap.administrator | quote }} }
- { name: PATRONI_KUBERNETES_POD_IP, value: $(POD_IP) }
- { name: PATRONI_NAME, value: $(POD_NAME) }
- { name: PATRONI_RESTAPI_CONNECT_ADDRESS, value: "$(POD_NAME).$(DOMAIN):8008" }
- { name: PATRONI_POSTGRESQL_CONNECT_ADDRESS, value: "$(POD_NAME).$(DOMAIN):5432" }
- { name: PATRONICTL_CONFIG_FILE, value: /etc/patroni/patroni.yml }
{{- /* Here, since a member that runs reads patroni.yml before it is replaced, and does not have that folder yet. */}}
{{- range $kind := list "replication" "rewind" }}
{{- with include "brownie.trusted" (dict "root" $ "kind" $kind) }}
- { name: PATRONI_{{ upper $kind }}_SSLROOTCERT, value: {{ . }}/ca.crt }
{{- end }}
{{- end }}
{{- if .Values.wal.enabled }}
- { name: PGWAL, value: /var/lib/postgresql-wal/pg_wal }
{{- end }}
{{- end }}

{{/* What the container `volumes` keeps, and by which rules. */}}
{{- define "postgres-ha.volumes" -}}
{{- $volumes := dict "data" (merge (dict "path" "/var/lib/postgresql") .Values.storage) -}}
{{- if .Values.wal.enabled -}}
{{- $_ := set $volumes "wal" (merge (dict "path" "/var/lib/postgresql-wal") .Values.wal) -}}
{{- end -}}
{{- toPrettyJson $volumes -}}
{{- end }}

{{/* What scripts that ask the API server need to know. */}}
{{- define "postgres-ha.upgrade" -}}
- { name: CLUSTER, value: {{ include "brownie.name" . }} }
{{- with .Values.upgrade.from }}
- { name: UPGRADE_FROM, value: {{ . | quote }} }
{{- end }}
{{- end }}

{{/* Waits for its turn, upgrades or moves the data before the server starts, and serves the upgrade beside it. */}}
{{- define "postgres-ha.upgrader" -}}
- name: upgrader
  image: {{ include "brownie.image" .Values.image }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  restartPolicy: Always
  command: [python3, /etc/patroni/upgrader]
  env:
    {{- include "postgres-ha.identity" . | nindent 4 }}
    {{- include "postgres-ha.upgrade" . | nindent 4 }}
  # The server's container starts when the data are in place, however long that takes.
  startupProbe:
    exec:
      command: [test, -s, /run/postgresql/major]
    periodSeconds: 1
    failureThreshold: 1000000
  securityContext: {{ include "brownie.containerSecurity" . | nindent 4 }}
  resources:
    requests: { cpu: 10m, memory: 64Mi }
    limits: {{ toJson (.Values.resources.limits | default dict) }}
  volumeMounts:
    - { name: data, mountPath: /var/lib/postgresql }
    - { name: configuration, mountPath: /etc/patroni, readOnly: true }
    - { name: token, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true }
    - { name: sockets, mountPath: /run/postgresql }
    - { name: scratch, mountPath: /tmp }
    - { name: memory, mountPath: /dev/shm }
{{- end }}

{{/* A claim's template cannot be changed: it keeps the size that it had at first, and `volumes` asks for more. */}}
{{- define "postgres-ha.claim" -}}
{{- $size := .volume.size -}}
{{- $installed := lookup "apps/v1" "StatefulSet" .root.Release.Namespace (include "brownie.name" .root) | default dict -}}
{{- range dig "spec" "volumeClaimTemplates" list $installed -}}
{{- if eq .metadata.name $.name -}}
{{- $size = .spec.resources.requests.storage -}}
{{- end -}}
{{- end -}}
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: {{ .name }}
  labels: {{ include "brownie.selector" .root | nindent 4 }}
spec:
  accessModes: [ReadWriteOnce]
  {{- with .volume.storageClass }}
  storageClassName: {{ . }}
  {{- end }}
  resources:
    requests:
      storage: {{ $size }}
{{- end }}

{{/* Refreshes the lists from before the server's start on. The server refuses to start without one, so that it waits for the first. */}}
{{- define "postgres-ha.crl" -}}
- name: brownie-crl
  image: {{ include "brownie.image" .Values.crl.image }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  restartPolicy: Always
  args:
    - -ca=/tls/authorities/ca.crt
    - -file=/var/lib/postgresql/crl/crl.pem
    - -interval={{ .Values.crl.interval }}
    - -alarm-before={{ .Values.crl.alarmBefore }}
    - -listen=:9644
    {{- range .Values.crl.mounts }}
    - {{ printf "-mount=%s" . | quote }}
    {{- end }}
    {{- range .Values.crl.lists }}
    - {{ printf "-list=%s" . | quote }}
    {{- end }}
    {{- range .Values.crl.issuers }}
    - {{ printf "-issuers=%s" . | quote }}
    {{- end }}
    {{- if .Values.crl.serverAuthorities.configMap }}
    - -server-ca=/tls/lists/{{ .Values.crl.serverAuthorities.key }}
    {{- end }}
  env:
    # The unix socket lets it in also when an expired list refuses every certificate.
    - { name: PGHOST, value: /run/postgresql }
    - { name: PGDATABASE, value: postgres }
    - { name: PGUSER, value: brownie-crl }
  ports:
    - { name: crl-metrics, containerPort: 9644 }
  securityContext: {{ include "brownie.containerSecurity" . | nindent 4 }}
  resources:
    requests: { cpu: 10m, memory: 16Mi }
    limits: { memory: 64Mi }
  volumeMounts:
    - { name: data, mountPath: /var/lib/postgresql/crl, subPath: crl }
    - { name: authorities, mountPath: /tls/authorities, readOnly: true }
    - { name: sockets, mountPath: /run/postgresql }
    {{- if .Values.crl.serverAuthorities.configMap }}
    - { name: list-authorities, mountPath: /tls/lists, readOnly: true }
    {{- end }}
- name: first-list
  image: {{ include "brownie.image" .Values.image }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: [sh, -c, "until [ -s /var/lib/postgresql/crl/crl.pem ]; do sleep 1; done"]
  securityContext: {{ include "brownie.containerSecurity" . | nindent 4 }}
  resources:
    requests: { cpu: 10m, memory: 16Mi }
    limits: { memory: 64Mi }
  volumeMounts:
    - { name: data, mountPath: /var/lib/postgresql/crl, subPath: crl, readOnly: true }
{{- end }}
