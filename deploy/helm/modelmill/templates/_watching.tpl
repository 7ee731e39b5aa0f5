{{- /* A PromQL expression whose series are all of this release: a cluster's Prometheus has those of others, too. */ -}}
{{- define "modelmill.ofRelease" -}}
{{- $metric := "\\b(modelmill[_:][a-z0-9_:]+|gen_ai_server_[a-z0-9_]+|process_[a-z0-9_]+|up)" -}}
{{- $own := printf "namespace=%q,app_kubernetes_io_instance=%q" .root.Release.Namespace .root.Release.Name -}}
{{- $selected := regexReplaceAll (printf "%s([^a-z0-9_:{]|$)" $metric) .expr "${1}{}${2}" -}}
{{- regexReplaceAll (printf "%s\\{" $metric) $selected (printf "${1}{%s," $own) | replace ",}" "}" -}}
{{- end -}}
