package oracle

import (
	"cmp"
	"encoding/json"
	"maps"
	"math"
	"slices"

	"github.com/maidian/maidian/pkg/event"
)

// heatmap: where on a page people click, in squares, and how far they scroll.
func (q *question) heatmap() answer {
	grid, only := float64(q.whole("grid", 50)), q.text("page", "")
	pages := []answer{}
	for path, of := range q.records().by(func(r *record) string { return r.PagePath }) {
		if path == "" || only != "" && only != path {
			continue
		}
		clicks, squares := 0, map[[2]int]int{}
		for _, r := range of.ofType("click") {
			x, hasX := r.XPosition.Float()
			y, hasY := r.YPosition.Float()
			if hasX && hasY {
				clicks++
				squares[[2]int{int(math.Floor(x/grid) * grid), int(math.Floor(y/grid) * grid)}]++
			}
		}
		cells := []answer{}
		for at, count := range squares {
			cells = append(cells, answer{"x": at[0], "y": at[1], "count": count})
		}
		slices.SortFunc(cells, func(a, b answer) int {
			return cmp.Or(cmp.Compare(b["count"].(int), a["count"].(int)), cmp.Compare(a["y"].(int), b["y"].(int)), cmp.Compare(a["x"].(int), b["x"].(int)))
		})
		scrolled := of.where(func(r *record) bool { _, is := r.ScrollDepth.Float(); return is }).by(bySession)
		reach := []answer{}
		for depth := 10; depth <= 100; depth += 10 {
			sessions := 0
			for _, scrolls := range scrolled {
				if slices.ContainsFunc(scrolls, func(r *record) bool { f, _ := r.ScrollDepth.Float(); return f >= float64(depth) }) {
					sessions++
				}
			}
			reach = append(reach, answer{"depth": depth, "sessions": sessions, "percent": percent(sessions, len(scrolled))})
		}
		if clicks > 0 || len(scrolled) > 0 {
			pages = append(pages, answer{"page_path": path, "clicks": clicks, "cells": cells, "scroll_sessions": len(scrolled), "scroll_reach": reach})
		}
	}
	slices.SortFunc(pages, func(a, b answer) int {
		return cmp.Or(cmp.Compare(b["clicks"].(int), a["clicks"].(int)), cmp.Compare(b["scroll_sessions"].(int), a["scroll_sessions"].(int)), cmp.Compare(a["page_path"].(string), b["page_path"].(string)))
	})
	return answer{"pages": pages[:min(len(pages), q.whole("limit", 10))], "total": len(pages)}
}

// recommendations: products that the same users had to do with; without any, those most had.
func (q *question) recommendations() answer {
	if q.Request["from"] == nil && q.Request["days"] == nil {
		q.from, q.to = q.span(90)
	}
	baskets := map[string]map[string]bool{} // by user
	for who, theirs := range q.byUser(q.records()) {
		baskets[who] = map[string]bool{}
		for _, r := range theirs {
			for _, product := range products(r) {
				baskets[who][product] = true
			}
		}
		if len(baskets[who]) == 0 {
			delete(baskets, who)
		}
	}
	seeds := map[string]bool{}
	if id := q.text("product_id", ""); id != "" {
		seeds[id] = true
	} else if id := q.text("user_id", ""); id != "" {
		for _, r := range q.records() {
			if r.user == q.called(id) {
				for _, product := range products(r) {
					seeds[product] = true
				}
			}
		}
	}
	count := func(products ...string) (n int) {
		for _, basket := range baskets {
			if !slices.ContainsFunc(products, func(p string) bool { return !basket[p] }) {
				n++
			}
		}
		return n
	}
	all := map[string]bool{}
	for _, basket := range baskets {
		for product := range basket {
			all[product] = true
		}
	}
	together, popular := []answer{}, []answer{}
	people := float64(len(baskets))
	for product := range all {
		if seeds[product] {
			continue
		}
		having := float64(count(product))
		popular = append(popular, answer{
			"product_id": product, "score": rounded(having / people), "users": count(product), "support": rounded(having / people), "lift": nil, "because": nil,
		})
		score, closest, because := 0.0, 0.0, ""
		for _, seed := range slices.Sorted(maps.Keys(seeds)) {
			near := float64(count(product, seed)) / math.Sqrt(having*float64(max(1, count(seed))))
			if score += near; near > closest {
				closest, because = near, seed
			}
		}
		if score > 0 {
			both := count(product, because)
			together = append(together, answer{
				"product_id": product, "score": rounded(score), "users": both, "support": rounded(float64(both) / people),
				"lift": rounded(float64(both) * people / (having * float64(count(because)))), "because": because,
			})
		}
	}
	list, based := together, "user"
	switch {
	case len(together) == 0:
		list, based = popular, "popularity"
	case q.text("product_id", "") != "":
		based = "product"
	}
	slices.SortFunc(list, func(a, b answer) int {
		return cmp.Or(cmp.Compare(b["score"].(float64), a["score"].(float64)), cmp.Compare(b["users"].(int), a["users"].(int)), cmp.Compare(a["product_id"].(string), b["product_id"].(string)))
	})
	return answer{"based_on": based, "recommendations": list[:min(len(list), q.whole("limit", 10))]}
}

func rounded(f float64) float64 { return math.Round(f*10_000) / 10_000 }

// products that an event is about.
func products(r *record) (ids []string) {
	if r.EventType != "product_view" && r.EventType != "cart_add" && r.EventType != "purchase" {
		return nil
	}
	if v := event.Property(r.Properties, "product_id"); v.Kind != event.Absent {
		ids = append(ids, v.String())
	}
	var items []struct {
		ProductID string `json:"product_id"`
	}
	if r.EventType == "purchase" && json.Unmarshal([]byte(event.Property(r.Properties, "items").Text), &items) == nil {
		for _, item := range items {
			ids = append(ids, item.ProductID)
		}
	}
	return ids
}
