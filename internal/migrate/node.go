package migrate

import (
	"maps"
	"slices"
	"strings"
)

// node is a part of the parser's tree: JSON whose field names are those of PostgreSQL's source. What is missing reads as
// empty, so that a path through the tree needs no checks.
type node map[string]any

func (n node) get(field string) node {
	child, _ := n[field].(map[string]any)
	return child
}

// only is the one field of a node that says what kind of node it is.
func (n node) only() (kind string, fields node) {
	for kind := range n {
		return kind, n.get(kind)
	}
	return "", nil
}

func (n node) list(field string) []node {
	items, _ := n[field].([]any)
	nodes := make([]node, 0, len(items))
	for _, item := range items {
		child, _ := item.(map[string]any)
		nodes = append(nodes, child)
	}
	if len(nodes) == 0 {
		return nil
	}
	return nodes
}

func (n node) text(field string) string {
	text, _ := n[field].(string)
	return text
}

func (n node) truth(field string) bool {
	truth, _ := n[field].(bool)
	return truth
}

func (n node) number(field string) int {
	number, _ := n[field].(float64)
	return int(number)
}

// names reads a list of strings, such as a qualified name.
func (n node) names(field string) []string {
	var names []string
	for _, item := range n.list(field) {
		names = append(names, item.get("String").text("sval"))
	}
	return names
}

// relation is the name of a table, in SQL.
func (n node) relation() string {
	if n == nil {
		return ""
	}
	name := []string{n.text("relname")}
	if schema := n.text("schemaname"); schema != "" {
		name = []string{schema, name[0]}
	}
	return identifier(name)
}

// option tells an option in parentheses that is on. The last one counts, as it does for the server.
func (n node) option(name string) bool {
	on := false
	for _, options := range []string{"options", "params"} {
		for _, option := range n.list(options) {
			if element := option.get("DefElem"); strings.EqualFold(element.text("defname"), name) {
				on = !element.get("arg").isOff()
			}
		}
	}
	return on
}

// isOff tells the value of an option that says no, in any of the server's ways to write that.
func (n node) isOff() bool {
	word := n.get("String").text("sval")
	number, isNumber := n["Integer"]
	value, _ := number.(map[string]any)
	return strings.EqualFold(word, "false") || strings.EqualFold(word, "off") || isNumber && node(value).number("ival") == 0
}

// constant is the text of a literal, with or without a type.
func (n node) constant() string {
	if cast := n.get("TypeCast"); cast != nil {
		n = cast.get("arg")
	}
	return n.get("A_Const").get("sval").text("sval")
}

// find is all nodes of a kind, at any depth.
func (n node) find(kind string) []node {
	var found []node
	if here := n.get(kind); here != nil {
		found = append(found, here)
	}
	for _, field := range slices.Sorted(maps.Keys(n)) {
		children, isList := n[field].([]any)
		if !isList {
			children = []any{n[field]}
		}
		for _, child := range children {
			if fields, ok := child.(map[string]any); ok {
				found = append(found, node(fields).find(kind)...)
			}
		}
	}
	return found
}
