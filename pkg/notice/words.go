package notice

// Languages that there are words in.
const (
	English = "en"
	Chinese = "zh"
)

// wording is what is said when a channel has no words of its own.
type wording struct{ title, text string }

var words = map[string]wording{
	English: {
		title: `{{if .Test}}[test] {{end}}[{{if eq .State "recovered"}}recovered{{else}}{{.Severity}}{{if .Repeat}}, still{{end}}{{end}}] {{.Name}}{{if .Group}}: {{.Group}}{{end}}`,
		text: `{{if .Value}}{{if eq .Kind "change"}}Change of {{end}}{{if .Metric}}{{.Metric}}{{else}}Value{{end}}: {{.Value}}{{if eq .Kind "change"}} %{{end}}{{if .Threshold}} (threshold: {{.Op}} {{.Threshold}}{{if eq .Kind "change"}} %{{end}}){{end}}
{{end}}{{if .Expected}}{{if eq .Kind "change"}}Before{{else}}Expected{{end}}: {{.Expected}}
{{end}}{{if .NewValue}}New value: {{.NewValue}}
{{end}}{{if .Group}}{{.GroupBy}}: {{.Group}}
{{end}}{{if ne .From .To}}Window: {{.From}} to {{.To}}
{{else}}At: {{.At}}
{{end}}{{if ne .Since .At}}{{if eq .State "recovered"}}Held since{{else}}Since{{end}}: {{.Since}}
{{end}}{{if .Reason}}Nobody looks any more whether it still holds: {{if eq .Reason "rule_deleted"}}the rule was deleted{{else if eq .Reason "rule_disabled"}}the rule was disabled{{else if eq .Reason "rule_changed"}}the rule was changed{{else}}nothing has come of it for long{{end}}
{{end}}{{if .Event}}Event: {{.Event}} {{.EventID}}{{if .User}} of {{.User}}{{end}}
{{end}}{{if .Page}}Page: {{.Page}}
{{end}}Project: {{.Project}}`,
	},
	Chinese: {
		title: `{{if .Test}}【测试】{{end}}【{{if eq .State "recovered"}}已恢复{{else}}{{if eq .Severity "critical"}}严重{{else if eq .Severity "warning"}}警告{{else}}通知{{end}}{{if .Repeat}}·持续{{end}}{{end}}】{{.Name}}{{if .Group}}：{{.Group}}{{end}}`,
		text: `{{if .Value}}{{if .Metric}}{{.Metric}}{{else}}数值{{end}}{{if eq .Kind "change"}} 变化{{end}}：{{.Value}}{{if eq .Kind "change"}} %{{end}}{{if .Threshold}}（阈值：{{.Op}} {{.Threshold}}{{if eq .Kind "change"}} %{{end}}）{{end}}
{{end}}{{if .Expected}}{{if eq .Kind "change"}}此前{{else}}预期{{end}}：{{.Expected}}
{{end}}{{if .NewValue}}新出现的值：{{.NewValue}}
{{end}}{{if .Group}}{{.GroupBy}}：{{.Group}}
{{end}}{{if ne .From .To}}时间窗口：{{.From}} 至 {{.To}}
{{else}}时间：{{.At}}
{{end}}{{if ne .Since .At}}开始于：{{.Since}}
{{end}}{{if .Reason}}不再检查其是否仍然成立：{{if eq .Reason "rule_deleted"}}规则已删除{{else if eq .Reason "rule_disabled"}}规则已停用{{else if eq .Reason "rule_changed"}}规则已修改{{else}}长时间没有相关数据{{end}}
{{end}}{{if .Event}}事件：{{.Event}} {{.EventID}}{{if .User}}，用户 {{.User}}{{end}}
{{end}}{{if .Page}}页面：{{.Page}}
{{end}}项目：{{.Project}}`,
	},
}
