{{/*
A Job after each upgrade of the release that runs one of the scripts, as a service account of its own, whose Role has the same name:
dict "root" $ "job" "rollout" "weight" 0 "arguments" (list "…").
*/}}
{{- define "postgres-ha.job" -}}
{{- $root := .root -}}
{{- $name := include "brownie.name" $root -}}
{{- $job := printf "%s-%s" $name .job -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ $job }}
  labels: {{ include "brownie.labels" $root | nindent 4 }}
automountServiceAccountToken: false
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ $job }}
  labels: {{ include "brownie.labels" $root | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ $job }}
subjects:
  - kind: ServiceAccount
    name: {{ $job }}
    namespace: {{ $root.Release.Namespace }}
{{- if $root.Values.networkPolicy.enabled }}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ $job }}
  labels: {{ include "brownie.labels" $root | nindent 4 }}
spec:
  podSelector:
    matchLabels: {{ include "brownie.selector" $root | nindent 6 }}
      app.kubernetes.io/component: {{ .job }}
  policyTypes: [Ingress, Egress]
  egress:
    {{- include "brownie.egressToDNS" $root | nindent 4 }}
    {{- include "brownie.egressToAPIServer" $root | nindent 4 }}
{{- end }}
---
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ $job }}
  labels: {{ include "brownie.labels" $root | nindent 4 }}
  annotations:
    helm.sh/hook: post-upgrade,post-rollback
    helm.sh/hook-weight: {{ .weight | quote }}
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
spec:
  backoffLimit: 3
  podFailurePolicy:
    rules:
      # The script has said why; it would say so again.
      - action: FailJob
        onExitCodes: { containerName: {{ .job }}, operator: In, values: [3] }
  template:
    metadata:
      labels: {{ include "brownie.selector" $root | nindent 8 }}
        app.kubernetes.io/component: {{ .job }}
    spec:
      restartPolicy: Never
      serviceAccountName: {{ $job }}
      automountServiceAccountToken: false
      enableServiceLinks: false
      securityContext: {{ include "brownie.podSecurity" $root | nindent 8 }}
      {{- include "brownie.placement" $root | nindent 6 }}
      containers:
        - name: {{ .job }}
          image: {{ include "brownie.image" $root.Values.image }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          command: {{ concat (list "python3" (printf "/etc/patroni/%s" .job)) .arguments | toJson }}
          env: {{ include "postgres-ha.upgrade" $root | nindent 12 }}
          securityContext: {{ include "brownie.containerSecurity" $root | nindent 12 }}
          resources:
            requests: { cpu: 10m, memory: 64Mi }
            limits: { memory: 256Mi }
          volumeMounts:
            - { name: configuration, mountPath: /etc/patroni, readOnly: true }
            - { name: token, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true }
            - { name: scratch, mountPath: /tmp }
      volumes:
        - name: configuration
          configMap:
            name: {{ $name }}-members
        - {{ include "brownie.token" $root | nindent 10 | trim }}
        - name: scratch
          emptyDir: {}
{{- end }}
