{{/*
What the charts goosejobs and goosejobs-worker share. It is written here; `make generate` copies it to the other one.
*/}}

{{- define "goosejobs.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* At most 52 characters, so that all names made of it have room. */}}
{{- define "goosejobs.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) }}
{{- default $full .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- end }}

{{/* The name of what stands outside of the release's namespace, where another release may have the same name. */}}
{{- define "goosejobs.farname" -}}
{{- printf "%s:%s" .Release.Namespace (include "goosejobs.fullname" .) }}
{{- end }}

{{- define "goosejobs.component" -}}
{{- ternary "worker" "operator" (eq .Chart.Name "goosejobs-worker") }}
{{- end }}

{{- define "goosejobs.selector" -}}
app.kubernetes.io/name: {{ include "goosejobs.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: {{ include "goosejobs.component" . }}
{{- end }}

{{- define "goosejobs.labels" -}}
{{ include "goosejobs.selector" . }}
{{ include "goosejobs.moreLabels" . }}
{{- end }}

{{/* Without the chart's version: another one alone is no reason for new pods. */}}
{{- define "goosejobs.podLabels" -}}
{{ include "goosejobs.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: goosejobs
{{- range $key, $_ := .Values.podLabels }}
{{- if regexMatch "^(app\\.kubernetes\\.io|goosejobs\\.dev)/" $key }}
{{- fail (printf "podLabels: the chart itself sets labels such as %s: choose another key" $key) }}
{{- end }}
{{- end }}
{{- with .Values.podLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "goosejobs.moreLabels" -}}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: goosejobs
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "goosejobs.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "goosejobs.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- required "serviceAccount.name: name an account that is there, or set serviceAccount.create to true" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* In Job mode workers need no goose: it is in the image of the runs. */}}
{{- define "goosejobs.image" -}}
{{- with .Values.image }}
{{- if eq .tag "latest" }}
{{- fail "image.tag: latest is another image every day: name a version, or leave it empty for the chart's own" }}
{{- end }}
{{- if .digest }}
{{- printf "%s@%s" .repository .digest }}
{{- else }}
{{- $slim := ternary "-slim" "" (eq (default "" $.Values.mode) "Job") }}
{{- printf "%s:%s" .repository (default (print $.Chart.AppVersion $slim) .tag) }}
{{- end }}
{{- end }}
{{- end }}

{{/* What Pod Security "restricted" asks of a pod and of a container: not for anybody to change. */}}
{{- define "goosejobs.podSecurityContext" -}}
runAsNonRoot: true
{{- range $field, $number := .Values.security }}
{{- if not (kindIs "invalid" $number) }}
{{ $field }}: {{ int64 $number }}
{{- end }}
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "goosejobs.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* Where the pod runs. */}}
{{- define "goosejobs.placement" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The SDK's own environment configuration, and what both sides are told. */}}
{{- define "goosejobs.env" -}}
- name: TEMPORAL_ADDRESS
  value: {{ .Values.temporal.address | quote }}
- name: TEMPORAL_NAMESPACE
  value: {{ .Values.temporal.namespace | quote }}
{{- with .Values.temporal.apiKey }}
{{- if .secretName }}
- name: TEMPORAL_API_KEY
  valueFrom:
    secretKeyRef:
      name: {{ .secretName }}
      key: {{ .key }}
{{- end }}
{{- end }}
{{- with .Values.temporal.tls }}
{{- if .enabled }}
- name: TEMPORAL_TLS
  value: "true"
{{- with .serverName }}
- name: TEMPORAL_TLS_SERVER_NAME
  value: {{ . | quote }}
{{- end }}
{{- with .caSecret }}
{{- if .name }}
- name: TEMPORAL_TLS_SERVER_CA_CERT_PATH
  value: /etc/goosejobs/temporal-ca/ca.crt
{{- end }}
{{- end }}
{{- if .clientSecret.name }}
- name: TEMPORAL_TLS_CLIENT_CERT_PATH
  value: /etc/goosejobs/temporal-client/tls.crt
- name: TEMPORAL_TLS_CLIENT_KEY_PATH
  value: /etc/goosejobs/temporal-client/tls.key
{{- end }}
{{- else if or .serverName .caSecret.name .clientSecret.name }}
{{- fail "temporal.tls: set temporal.tls.enabled to true, or remove the rest" }}
{{- end }}
{{- end }}
{{- if .Values.encryption.secretName }}
- name: GOOSEJOBS_CODEC_KEY_FILE
  value: /etc/goosejobs/encryption/keys
{{- end }}
- name: GOOSEJOBS_HEALTH_ADDRESS
  value: 0.0.0.0:8080
- name: GOOSEJOBS_LOG_FORMAT
  value: {{ .Values.log.format }}
- name: GOOSEJOBS_LOG_LEVEL
  value: {{ .Values.log.level }}
{{- end }}

{{- define "goosejobs.mounts" -}}
- name: tmp
  mountPath: /tmp
{{- if .Values.temporal.tls.caSecret.name }}
- name: temporal-ca
  mountPath: /etc/goosejobs/temporal-ca
  readOnly: true
{{- end }}
{{- if .Values.temporal.tls.clientSecret.name }}
- name: temporal-client
  mountPath: /etc/goosejobs/temporal-client
  readOnly: true
{{- end }}
{{- if .Values.encryption.secretName }}
- name: encryption
  mountPath: /etc/goosejobs/encryption
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "goosejobs.volumes" -}}
- name: tmp
  emptyDir: {}
{{- with .Values.temporal.tls.caSecret }}
{{- if .name }}
- name: temporal-ca
  secret:
    secretName: {{ .name }}
    items:
      - {key: {{ .key | quote }}, path: ca.crt}
{{- end }}
{{- end }}
{{- with .Values.temporal.tls.clientSecret }}
{{- if .name }}
- name: temporal-client
  secret:
    secretName: {{ .name }}
    items:
      - {key: tls.crt, path: tls.crt}
      - {key: tls.key, path: tls.key}
{{- end }}
{{- end }}
{{- with .Values.encryption }}
{{- if .secretName }}
- name: encryption
  secret:
    secretName: {{ .secretName }}
    items:
      - {key: {{ .key | quote }}, path: keys}
{{- end }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Well while the process answers; ready once it does its work. Python needs a while to start on a busy node. */}}
{{- define "goosejobs.probes" -}}
ports:
  - name: metrics
    containerPort: 8080
startupProbe:
  httpGet: {path: /healthz, port: metrics}
  periodSeconds: 2
  timeoutSeconds: 5
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /healthz, port: metrics}
  periodSeconds: 20
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet: {path: /readyz, port: metrics}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 2
{{- end }}

{{/* `helm test`: asks the replicas behind the Service. Arguments: the root, what one must say, a metric that must be 1. */}}
{{- define "goosejobs.test" -}}
{{- $root := index . 0 -}}
apiVersion: v1
kind: Pod
metadata:
  name: {{ include "goosejobs.fullname" $root }}-test
  namespace: {{ $root.Release.Namespace }}
  labels:
    app.kubernetes.io/name: {{ include "goosejobs.name" $root }}
    app.kubernetes.io/instance: {{ $root.Release.Name }}
    app.kubernetes.io/component: test
    {{- include "goosejobs.moreLabels" $root | nindent 4 }}
  annotations:
    helm.sh/hook: test
    helm.sh/hook-delete-policy: before-hook-creation
spec:
  restartPolicy: Never
  automountServiceAccountToken: false
  enableServiceLinks: false
  securityContext:
    {{- include "goosejobs.podSecurityContext" $root | nindent 4 }}
  {{- include "goosejobs.placement" $root | nindent 2 }}
  containers:
    - name: test
      image: {{ include "goosejobs.image" $root | quote }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      command:
        - python3
        - -c
        - |
          {{- $root.Files.Get "files/check.py" | trim | nindent 10 }}
        - {{ printf "%s.%s.svc:8080" (include "goosejobs.fullname" $root) $root.Release.Namespace | quote }}
        {{- range rest . }}
        - {{ . | quote }}
        {{- end }}
      resources:
        requests: {cpu: 10m, memory: 32Mi}
        limits: {memory: 128Mi}
      securityContext:
        {{- include "goosejobs.securityContext" $root | nindent 8 }}
{{- end }}

{{/* All replicas by name: for `helm test`, and for whoever scrapes Services. */}}
{{- define "goosejobs.service" -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ include "goosejobs.fullname" . }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "goosejobs.labels" . | nindent 4 }}
spec:
  clusterIP: None
  selector:
    {{- include "goosejobs.selector" . | nindent 4 }}
  ports:
    - name: metrics
      port: 8080
      targetPort: metrics
{{- end }}

{{- define "goosejobs.serviceAccount" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "goosejobs.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "goosejobs.labels" . | nindent 4 }}
  {{- with .Values.serviceAccount.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: false
{{- end }}

{{- define "goosejobs.podDisruptionBudget" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "goosejobs.fullname" . }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "goosejobs.labels" . | nindent 4 }}
spec:
  maxUnavailable: {{ .Values.podDisruptionBudget.maxUnavailable }}
  selector:
    matchLabels:
      {{- include "goosejobs.selector" . | nindent 6 }}
{{- end }}

{{- define "goosejobs.podMonitor" -}}
apiVersion: monitoring.coreos.com/v1
kind: PodMonitor
metadata:
  name: {{ include "goosejobs.fullname" . }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "goosejobs.labels" . | nindent 4 }}
    {{- with .Values.metrics.podMonitor.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  selector:
    matchLabels:
      {{- include "goosejobs.selector" . | nindent 6 }}
  podMetricsEndpoints:
    - port: metrics
      path: /metrics
      {{- with .Values.metrics.podMonitor.interval }}
      interval: {{ . }}
      {{- end }}
{{- end }}

{{/* In: who scrapes, and `helm test`. Out: DNS, the API server, Temporal, and what the values add. */}}
{{- define "goosejobs.networkPolicy" -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ include "goosejobs.fullname" . }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "goosejobs.labels" . | nindent 4 }}
spec:
  podSelector:
    matchLabels:
      {{- include "goosejobs.selector" . | nindent 6 }}
  policyTypes: [Ingress, Egress]
  ingress:
    - from:
        - podSelector:
            matchLabels:
              app.kubernetes.io/instance: {{ .Release.Name }}
              app.kubernetes.io/component: test
        {{- with .Values.networkPolicy.metricsFrom }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      ports:
        - {port: metrics, protocol: TCP}
  egress:
    - ports:
        - {port: 53, protocol: UDP}
        - {port: 53, protocol: TCP}
    - ports:
        {{- range .Values.networkPolicy.apiServer.ports }}
        - {port: {{ . }}, protocol: TCP}
        {{- end }}
      {{- with .Values.networkPolicy.apiServer.cidrs }}
      to:
        {{- range . }}
        - ipBlock: {cidr: {{ . | quote }}}
        {{- end }}
      {{- end }}
    - ports:
        - {port: {{ regexFind "[0-9]+$" .Values.temporal.address }}, protocol: TCP}
    {{- with .Values.networkPolicy.extraEgress }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}
