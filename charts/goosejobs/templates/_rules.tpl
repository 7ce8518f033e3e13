{{/* What the operator may do in the namespaces it looks after; a test holds it to tests/data/rbac. */}}
{{- define "goosejobs.rules" -}}
- apiGroups: [goosejobs.dev]
  resources: [goosejobs]
  verbs: [get, list, watch, patch]
- apiGroups: [goosejobs.dev]
  resources: [goosejobs/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [events]
  verbs: [create, patch]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch]
{{- end }}
