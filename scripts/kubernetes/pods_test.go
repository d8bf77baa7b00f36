package main

// podTemplate is the template of the pods that an object makes, nil when it makes none.
func podTemplate(o object) map[string]any {
	switch o.kind() {
	case "Deployment", "StatefulSet", "Job":
		return o.at("spec.template").(map[string]any)
	case "CronJob":
		return o.at("spec.jobTemplate.spec.template").(map[string]any)
	}
	return nil
}

// containers are those of an object's pods, the ones that come first too.
func containers(o object) (all []map[string]any) {
	template := podTemplate(o)
	if template == nil {
		return nil
	}
	for _, path := range []string{"spec.initContainers", "spec.containers"} {
		list, _ := at(template, path).([]any)
		for _, c := range list {
			all = append(all, c.(map[string]any))
		}
	}
	return all
}
