package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// formula computes a series from others by their labels: numbers, labels,
// + - * / with the usual precedence, a sign before, and parentheses. A division
// by zero gives 0, as an empty bucket does.
type formula func(values map[string]float64) float64

// parseFormula reads a formula over these labels.
func parseFormula(text string, labels []string) (formula, error) {
	p := &formulaParser{text: text, labels: labels}
	f, err := p.sum(0)
	if err != nil {
		return nil, err
	}
	if p.space(); p.at < len(text) {
		return nil, fmt.Errorf("%q at %d is not expected there", text[p.at:p.at+1], p.at)
	}
	return func(values map[string]float64) float64 {
		v := f(values)
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return 0
		}
		return v
	}, nil
}

type formulaParser struct {
	text   string
	at     int
	labels []string
}

// maxNesting keeps parentheses and signs from using up the stack.
const maxNesting = 100

func (p *formulaParser) space() {
	for p.at < len(p.text) && strings.IndexByte(" \t\n\r", p.text[p.at]) >= 0 {
		p.at++
	}
}

// next takes one of these characters, if it stands here.
func (p *formulaParser) next(chars string) (byte, bool) {
	p.space()
	if p.at < len(p.text) && strings.IndexByte(chars, p.text[p.at]) >= 0 {
		p.at++
		return p.text[p.at-1], true
	}
	return 0, false
}

func (p *formulaParser) sum(depth int) (formula, error) {
	return p.chain("+-", depth, p.product)
}

func (p *formulaParser) product(depth int) (formula, error) {
	return p.chain("*/", depth, p.signed)
}

// chain reads operands joined by operators of one precedence, from the left.
func (p *formulaParser) chain(operators string, depth int, operand func(int) (formula, error)) (formula, error) {
	left, err := operand(depth)
	for err == nil {
		op, ok := p.next(operators)
		if !ok {
			return left, nil
		}
		var right formula
		right, err = operand(depth)
		left = combine(op, left, right)
	}
	return nil, err
}

func combine(op byte, left, right formula) formula {
	switch op {
	case '+':
		return func(v map[string]float64) float64 { return left(v) + right(v) }
	case '-':
		return func(v map[string]float64) float64 { return left(v) - right(v) }
	case '*':
		return func(v map[string]float64) float64 { return left(v) * right(v) }
	}
	return func(v map[string]float64) float64 {
		by := right(v)
		if by == 0 {
			return 0
		}
		return left(v) / by
	}
}

func (p *formulaParser) signed(depth int) (formula, error) {
	if depth > maxNesting {
		return nil, fmt.Errorf("it is nested more than %d levels deep", maxNesting)
	}
	if sign, ok := p.next("+-"); ok {
		f, err := p.signed(depth + 1)
		if sign == '-' && err == nil {
			return func(v map[string]float64) float64 { return -f(v) }, nil
		}
		return f, err
	}
	if _, ok := p.next("("); ok {
		f, err := p.sum(depth + 1)
		if err != nil {
			return nil, err
		}
		if _, closed := p.next(")"); !closed {
			return nil, fmt.Errorf(`a ")" is missing at %d`, p.at)
		}
		return f, nil
	}
	return p.atom()
}

func (p *formulaParser) atom() (formula, error) {
	p.space()
	start := p.at
	for p.at < len(p.text) && strings.IndexByte(" \t\n\r+-*/()", p.text[p.at]) < 0 {
		p.at++
	}
	word := p.text[start:p.at]
	if word == "" {
		return nil, fmt.Errorf("a number or a label is missing at %d", start)
	}
	if n, err := strconv.ParseFloat(word, 64); err == nil && word[0] <= '9' {
		return func(map[string]float64) float64 { return n }, nil
	}
	for _, label := range p.labels {
		if label == word {
			return func(v map[string]float64) float64 { return v[label] }, nil
		}
	}
	return nil, fmt.Errorf("%q is no label; there are %s", word, strings.Join(p.labels, ", "))
}
