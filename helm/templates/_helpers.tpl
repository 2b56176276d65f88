{{- define "proclabel.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- /* At most 52 characters, so that a service's name behind it stays within 63. */}}
{{- define "proclabel.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains (include "proclabel.name" .) .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "proclabel.name" .) | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "proclabel.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "proclabel.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- /* Of (dict "root" $ "component" "matcher"); component may be empty. */}}
{{- define "proclabel.selector" -}}
app.kubernetes.io/name: {{ include "proclabel.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end }}

{{- define "proclabel.labels" -}}
{{ include "proclabel.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: proclabel
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "proclabel.image" -}}
{{- with .Values.image }}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ default $.Chart.AppVersion .tag }}{{ end }}
{{- end }}
{{- end }}

{{- /* What a service is told in its settings file; of (dict "root" $ "component" … "settings" its own). */}}
{{- define "proclabel.settings" -}}
{{- $v := .root.Values }}
{{- $secrets := "/etc/proclabel/secrets" }}
{{- $common := dict "brokers" (required "kafka.brokers is required" $v.kafka.brokers) }}
{{- if $v.kafka.tls.enabled }}
  {{- $_ := set $common "kafka-tls" true }}
  {{- if $v.kafka.tls.existingSecret }}
    {{- $_ := set $common "kafka-ca-file" (printf "%s/kafka-ca.crt" $secrets) }}
    {{- if $v.kafka.tls.certKey }}
      {{- $_ := set $common "kafka-cert-file" (printf "%s/kafka.crt" $secrets) }}
      {{- $_ := set $common "kafka-key-file" (printf "%s/kafka.key" $secrets) }}
    {{- end }}
  {{- end }}
{{- end }}
{{- if $v.kafka.sasl.enabled }}
  {{- $_ := set $common "kafka-username" (get $v.kafka.sasl.usernames .component) }}
  {{- $_ := set $common "kafka-password-file" (printf "%s/kafka-password" $secrets) }}
{{- end }}
{{- if $v.registry.url }}
  {{- $_ := set $common "registry" $v.registry.url }}
  {{- if $v.registry.username }}
    {{- $_ := set $common "registry-username" $v.registry.username }}
    {{- $_ := set $common "registry-password-file" (printf "%s/registry-password" $secrets) }}
  {{- end }}
  {{- if $v.registry.caKey }}
    {{- $_ := set $common "registry-ca-file" (printf "%s/registry-ca.crt" $secrets) }}
  {{- end }}
{{- end }}
{{- if ne .component "topics" }}
  {{- $_ := set $common "log-level" $v.logLevel }}
  {{- if $v.registry.url }}
    {{- $_ := set $common "registry-cache" "/var/lib/proclabel/schema-ids.json" }}
  {{- end }}
{{- end }}
{{- if has .component (list "matcher" "resolver") }}
  {{- $_ := set $common "partitions" $v.topics.partitions }}
  {{- $_ := set $common "redis-url" (required "redis.urls is required" $v.redis.urls) }}
  {{- if $v.redis.cluster }}{{ $_ := set $common "redis-cluster" true }}{{ end }}
  {{- with $v.redis.username }}{{ $_ := set $common "redis-username" . }}{{ end }}
  {{- if $v.redis.passwordKey }}{{ $_ := set $common "redis-password-file" (printf "%s/redis-password" $secrets) }}{{ end }}
  {{- if $v.redis.caKey }}{{ $_ := set $common "redis-ca-file" (printf "%s/redis-ca.crt" $secrets) }}{{ end }}
  {{- if $v.redis.certKey }}
    {{- $_ := set $common "redis-cert-file" (printf "%s/redis.crt" $secrets) }}
    {{- $_ := set $common "redis-key-file" (printf "%s/redis.key" $secrets) }}
  {{- end }}
{{- end }}
{{- mergeOverwrite $common .settings | toPrettyJson }}
{{- end }}

{{- /* The sources of the volume with secrets; empty where there are none. Of (dict "root" $ "component" …). */}}
{{- define "proclabel.secretSources" -}}
{{- $v := .root.Values }}
{{- if and $v.kafka.tls.enabled $v.kafka.tls.existingSecret }}
- secret:
    name: {{ $v.kafka.tls.existingSecret }}
    items:
      - { key: {{ $v.kafka.tls.caKey }}, path: kafka-ca.crt }
      {{- if $v.kafka.tls.certKey }}
      - { key: {{ $v.kafka.tls.certKey }}, path: kafka.crt }
      - { key: {{ required "kafka.tls.keyKey goes with certKey" $v.kafka.tls.keyKey }}, path: kafka.key }
      {{- end }}
{{- end }}
{{- if $v.kafka.sasl.enabled }}
- secret:
    name: {{ required "kafka.sasl.existingSecret is required" $v.kafka.sasl.existingSecret }}
    items:
      - { key: {{ get $v.kafka.sasl.passwordKeys .component }}, path: kafka-password }
{{- end }}
{{- if or $v.registry.username $v.registry.caKey }}
- secret:
    name: {{ required "registry.existingSecret is required" $v.registry.existingSecret }}
    items:
      {{- if $v.registry.username }}
      - { key: {{ $v.registry.passwordKey }}, path: registry-password }
      {{- end }}
      {{- if $v.registry.caKey }}
      - { key: {{ $v.registry.caKey }}, path: registry-ca.crt }
      {{- end }}
{{- end }}
{{- if and (has .component (list "matcher" "resolver")) (or $v.redis.passwordKey $v.redis.caKey $v.redis.certKey) }}
- secret:
    name: {{ required "redis.existingSecret is required" $v.redis.existingSecret }}
    items:
      {{- if $v.redis.passwordKey }}
      - { key: {{ $v.redis.passwordKey }}, path: redis-password }
      {{- end }}
      {{- if $v.redis.caKey }}
      - { key: {{ $v.redis.caKey }}, path: redis-ca.crt }
      {{- end }}
      {{- if $v.redis.certKey }}
      - { key: {{ $v.redis.certKey }}, path: redis.crt }
      - { key: {{ required "redis.keyKey goes with certKey" $v.redis.keyKey }}, path: redis.key }
      {{- end }}
{{- end }}
{{- end }}

{{- /* What every pod's metadata holds. Of (dict "root" $ "component" … "values" …). */}}
{{- define "proclabel.podMetadata" -}}
labels:
  {{- include "proclabel.labels" . | nindent 2 }}
  {{- with .values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
annotations:
  checksum/config: {{ include "proclabel.settings" (dict "root" .root "component" .component "settings" .settings) | sha256sum }}
  {{- with .values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- /* Where a pod may run, and what it is pulled with. */}}
{{- define "proclabel.scheduling" -}}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{- /* The mounts and volumes that every service has; its own data folder comes from the workload. */}}
{{- define "proclabel.mounts" -}}
- { name: settings, mountPath: /etc/proclabel/settings, readOnly: true }
- { name: data, mountPath: /var/lib/proclabel }
- { name: tmp, mountPath: /tmp }
{{- if include "proclabel.secretSources" . }}
- { name: secrets, mountPath: /etc/proclabel/secrets, readOnly: true }
{{- end }}
{{- with .values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "proclabel.volumes" -}}
- name: settings
  configMap: { name: {{ include "proclabel.fullname" .root }}-{{ .component }} }
- name: tmp
  emptyDir: { sizeLimit: 64Mi }
{{- with include "proclabel.secretSources" . }}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- . | nindent 6 }}
{{- end }}
{{- with .values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "proclabel.probes" -}}
startupProbe:
  httpGet: { path: /healthz, port: metrics }
  periodSeconds: 2
  failureThreshold: 30
livenessProbe:
  httpGet: { path: /healthz, port: metrics }
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet: { path: /readyz, port: metrics }
  periodSeconds: 5
  timeoutSeconds: 5
{{- end }}

{{- /* The container of a service on the cluster's network: it has no rights at all. */}}
{{- define "proclabel.container" -}}
- name: {{ .component }}
  image: {{ include "proclabel.image" .root }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  args: [--config, /etc/proclabel/settings/settings.json, {{ .component }}]
  {{- with .values.extraEnv }}
  env:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  ports:
    - { name: metrics, containerPort: 9464 }
  {{- include "proclabel.probes" . | nindent 2 }}
  securityContext:
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities: { drop: [ALL] }
  resources:
    {{- toYaml .values.resources | nindent 4 }}
  volumeMounts:
    {{- include "proclabel.mounts" . | nindent 4 }}
{{- end }}

{{- define "proclabel.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- /* Settings that come from values of the service's own, below what the operator sets. */}}
{{- define "proclabel.ownSettings" -}}
{{- $values := get .root.Values .component }}
{{- $own := dict }}
{{- if has .component (list "agent" "capture") }}{{ $_ := set $own "spool-size" $values.spoolSize }}{{ end }}
{{- if eq .component "capture" }}
  {{- $_ := set $own "interface" (required "capture.interface is required" $values.interface) }}
  {{- with $values.filter }}{{ $_ := set $own "filter" . }}{{ end }}
{{- else if eq .component "export" }}
  {{- $_ := set $own "out" "/var/lib/proclabel/export" }}
{{- else if eq .component "topics" }}
  {{- $_ := set $own "partitions" $values.partitions }}
  {{- $_ := set $own "replication" $values.replication }}
{{- end }}
{{- mergeOverwrite $own (default dict $values.settings) | toJson }}
{{- end }}
