package main

import (
	"encoding/json"
	"fmt"
)

// dashboard is what people look at together; a row is a question that they have.
type dashboard struct {
	uid, title, about string
	rows              []row
}

type row struct {
	question string
	panels   []panel
}

type panel struct {
	title, about string
	unit         string // as Grafana names it
	alarm        *float64
	now          bool // one figure, as it is now; else a course
	queries      []query
}

type query struct{ legend, expr string }

// at is the value from which on a figure is shown in red.
func at(v float64) *float64 { return &v }

type object = map[string]any

// JSON is the dashboard as Grafana reads it from a file.
func (d *dashboard) JSON() ([]byte, error) {
	text, err := json.MarshalIndent(object{
		"uid": d.uid, "title": d.title, "description": d.about, "tags": []string{"maidian"},
		"schemaVersion": 39, "version": 1, "editable": false, "graphTooltip": 1,
		"timezone": "browser", "refresh": "15s", "time": object{"from": "now-3h", "to": "now"},
		"templating": object{"list": []object{{
			"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "hide": 0, "current": object{},
		}}},
		"links": []object{{
			"type": "dashboards", "title": "Maidian", "tags": []string{"maidian"}, "asDropdown": false, "includeVars": true, "keepTime": true,
		}},
		"panels": d.panels(),
	}, "", "  ")
	return append(text, '\n'), err
}

const (
	columns = 24 // of Grafana's grid
	height  = 8
)

func (d *dashboard) panels() (all []object) {
	y := 0
	for _, r := range d.rows {
		all = append(all, object{
			"id": len(all) + 1, "type": "row", "title": r.question, "collapsed": false, "panels": []any{},
			"gridPos": object{"x": 0, "y": y, "w": columns, "h": 1},
		})
		width := columns / len(r.panels)
		for i := range r.panels {
			p := r.panels[i].object()
			p["id"], p["gridPos"] = len(all)+1, object{"x": i * width, "y": y + 1, "w": width, "h": height}
			all = append(all, p)
		}
		y += 1 + height
	}
	return all
}

func datasource() object { return object{"type": "prometheus", "uid": "${datasource}"} }

func (p *panel) object() object {
	var targets []object
	for i, q := range p.queries {
		targets = append(targets, object{
			"refId": string(rune('A' + i)), "expr": q.expr, "legendFormat": q.legend, "datasource": datasource(), "instant": p.now, "range": !p.now,
		})
	}
	defaults := object{"unit": p.unit, "min": 0}
	steps := []object{{"color": "green", "value": nil}}
	if p.alarm != nil {
		steps = append(steps, object{"color": "red", "value": *p.alarm})
	}
	defaults["thresholds"] = object{"mode": "absolute", "steps": steps}
	o := object{
		"type": "timeseries", "title": p.title, "description": p.about, "datasource": datasource(), "targets": targets,
		"fieldConfig": object{"defaults": defaults, "overrides": []any{}},
		"options":     object{"legend": object{"displayMode": "list", "placement": "bottom"}, "tooltip": object{"mode": "multi", "sort": "desc"}},
	}
	if p.now {
		o["type"] = "stat"
		o["options"] = object{
			"reduceOptions": object{"calcs": []string{"lastNotNull"}, "fields": "", "values": false}, "colorMode": "value", "graphMode": "none", "textMode": "auto",
		}
	} else if p.alarm != nil {
		defaults["custom"] = object{"thresholdsStyle": object{"mode": "line"}}
	}
	return o
}

// rate is how much a counter grows in a second, added up by some labels.
func rate(counter, by string) string {
	if by == "" {
		return fmt.Sprintf("sum(rate(%s[$__rate_interval]))", counter)
	}
	return fmt.Sprintf("sum by (%s) (rate(%s[$__rate_interval]))", by, counter)
}

// quantiles of a histogram of seconds: what half, and all but some, stay below.
func quantiles(histogram, selector string) []query {
	var all []query
	for _, q := range []string{"0.5", "0.95", "0.99"} {
		all = append(all, query{"p" + q[2:] + map[bool]string{true: "0"}[q == "0.5"], fmt.Sprintf("histogram_quantile(%s, sum by (le) (rate(%s_bucket%s[$__rate_interval])))", q, histogram, selector)})
	}
	return all
}
