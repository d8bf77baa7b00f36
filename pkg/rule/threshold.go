package rule

import "github.com/maidian/maidian/pkg/ask"

// readThreshold: a metric over a window compared with a number.
func readThreshold(p *ask.Params, r *Rule) {
	w := r.readMeasure(p)
	r.readWindowed(p, w, second, second)
	op := readOp(p)
	// What is too much already need not wait for a whole window; what is too little must.
	if w.whole = op == "lt" || op == "lte"; w.whole {
		w.memory += day // a group of which nothing comes any more has too little, as with absence
	}
	w.judge = compares(op, number(p, "value"))
}
