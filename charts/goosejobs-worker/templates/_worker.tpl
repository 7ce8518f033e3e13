{{/* What the schema cannot say. */}}
{{- define "goosejobs-worker.checked" -}}
{{- with .Values }}
{{- if eq .mode "Process" }}
{{- if without .namespaces $.Release.Namespace }}
{{- fail (printf "namespaces: a pool in Process mode serves its own namespace (%s) only, for an agent there has the worker's identity: remove the others, or set mode to Job" $.Release.Namespace) }}
{{- end }}
{{- if .template }}
{{- fail "template: it is about the pods of runs, and mode Process makes none: remove it, or set mode to Job" }}
{{- end }}
{{- else }}
{{- if or .process.secrets .process.configMaps .process.passEnv }}
{{- fail "process: it is for mode Process: in mode Job a run names Secrets and ConfigMaps of its own namespace without further ado" }}
{{- end }}
{{- if and (has "*" .namespaces) (gt (len .namespaces) 1) }}
{{- fail "namespaces: * is all of them: remove the others" }}
{{- end }}
{{- $given := list }}
{{- range (dig "env" list .template) }}
{{- $given = append $given .name }}
{{- end }}
{{- range $name, $value := .provider.env }}
{{- if has $name $given }}
{{- fail (printf "template.env: %s is in provider.env, too: remove one of them" $name) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "goosejobs-worker.namespaces" -}}
{{- .Values.namespaces | default (list .Release.Namespace) | uniq | toYaml }}
{{- end }}

{{- define "goosejobs-worker.hasRecipes" -}}
{{- if or .Values.recipes.files .Values.recipes.configMaps }}yes{{ end }}
{{- end }}

{{/* A pod that is killed while it drains takes its runs with it, so this is never less than the drain needs. */}}
{{- define "goosejobs-worker.gracePeriod" -}}
{{- $drain := add .Values.process.drainSeconds .Values.process.killGraceSeconds }}
{{- $needed := add (ternary 10 $drain (eq .Values.mode "Job")) 20 }}
{{- $given := .Values.terminationGracePeriodSeconds }}
{{- if kindIs "invalid" $given }}
{{- $needed }}
{{- else if lt (int64 $given) $needed }}
{{- fail (printf "terminationGracePeriodSeconds: at least %d are needed, else runs are cut off (in mode Process: process.drainSeconds + process.killGraceSeconds + 20)" $needed) }}
{{- else }}
{{- int64 $given }}
{{- end }}
{{- end }}

{{/* The file of GOOSEJOBS_POOL_TEMPLATE: the value `template`, and the provider in front of it. */}}
{{- define "goosejobs-worker.template" -}}
{{- $template := deepCopy .Values.template }}
{{- $env := list }}
{{- range $name, $value := .Values.provider.env }}
{{- $env = append $env (dict "name" $name "value" $value) }}
{{- end }}
{{- with concat $env (dig "env" list $template) }}
{{- $_ := set $template "env" . }}
{{- end }}
{{- $sources := list }}
{{- with .Values.provider.secretName }}
{{- $sources = list (dict "secretRef" (dict "name" .)) }}
{{- end }}
{{- with concat $sources (dig "envFrom" list $template) }}
{{- $_ := set $template "envFrom" . }}
{{- end }}
{{- toYaml $template }}
{{- end }}

{{/* What a worker may do in the namespaces that its pool serves; a test holds it to tests/data/rbac. */}}
{{- define "goosejobs-worker.rules" -}}
- apiGroups: [goosejobs.dev]
  resources: [goosejobs]
  verbs: [get]
- apiGroups: [goosejobs.dev]
  resources: [goosejobs/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [events]
  verbs: [create, patch]
{{- if eq .Values.mode "Job" }}
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
{{- else }}
{{- with .Values.process.secrets }}
- apiGroups: [""]
  resources: [secrets]
  resourceNames: {{ toJson . }}
  verbs: [get]
{{- end }}
{{- with .Values.process.configMaps }}
- apiGroups: [""]
  resources: [configmaps]
  resourceNames: {{ toJson . }}
  verbs: [get]
{{- end }}
{{- end }}
{{- end }}
