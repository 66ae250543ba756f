package document_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/longyi-brownie/terraform-provider-brownie/internal/document"
)

func TestSameJSON(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{`{"a": 1, "b": [2, 3]}`, `{"b":[2,3],"a":1}`, true},
		{`[1.0]`, `[1]`, true},
		{`[1e2]`, `[100]`, true},
		{`[1E+2]`, `[100.00]`, true},
		{`[0.001]`, `[1e-3]`, true},
		{`[-0]`, `[0e9]`, true},
		{`[12.50]`, `[125e-1]`, true},
		{`[1]`, `[-1]`, false},
		{`[1]`, `[10]`, false},
		{`[1]`, `["1"]`, false},
		{`[1e1000000000]`, `[10e999999999]`, true},
		{`[1e100000000000000000000]`, `[1e100000000000000000001]`, false},
		{`[12345678901234567890]`, `[12345678901234567891]`, false},
		{`[0.1234567890123456789]`, `[0.1234567890123456788]`, false},
		{`{"a":1,"a":2}`, `{"a":2}`, true},
		{`{"a":null}`, `{}`, false},
		{`{"a":null}`, `{"b":null}`, false},
		{`["\u00e9"]`, `["é"]`, true},
		{"[\"e\u0301\"]", `["é"]`, true},    // Terraform never sees the first
		{`["e\u0301"]`, `["é"]`, false},     // it sees these two as they are
		{`["\ud800"]`, `["\ufffd"]`, false}, // a decoder takes one for the other
		{`["\ud800"]`, `["\ud800"]`, true},
		{`["\\ud800"]`, `["\\\u0075d800"]`, true}, // an escaped backslash
		{`[1`, `[1]`, false},
		{`[1] 2`, `[1]`, false},
	} {
		if document.SameJSON(c.a, c.b) != c.same || document.SameJSON(c.b, c.a) != c.same {
			t.Errorf("%s and %s: same is %t", c.a, c.b, !c.same)
		}
	}
}

func TestWrong(t *testing.T) {
	t.Parallel()
	for text, wrong := range map[string]string{
		`{"a":"\u0000"}`:               `\u0000`,
		`["\\\u0000"]`:                 `\u0000`,
		`["\ud800"]`:                   "surrogate",
		`["\udc00"]`:                   "surrogate",
		`["\uD83D\ud83d\ude00"]`:       "surrogate",
		`["\ud83d\ude00\ude00"]`:       "surrogate",
		`["\ud800\ud83d\ude00\udc00"]`: "surrogate",
		`{"\ud800":1}`:                 "surrogate",
		`{`:                            "is not JSON: it ends too early, at line 1, column 2",
		``:                             "is not JSON: it ends too early, at line 1, column 1",
		`[tru`:                         "is not JSON: it ends too early, at line 1, column 5",
		`{} {}`:                        `is not JSON: unexpected "{" at line 1, column 4`,
		"{\n  \"a\": 1,\n}\n":          `is not JSON: unexpected "}" at line 3, column 1`,
		"[\"é\", “b”]":                 `is not JSON: unexpected "“" at line 1, column 7`,
		"[\"a\nb\"]":                   `is not JSON: unexpected "\n" at line 1, column 4`,
		"\r\n[1]x":                     `is not JSON: unexpected "x" at line 2, column 4`,
		"\ufeff{}":                     `is not JSON: unexpected "\ufeff" at line 1, column 1`,
		`["\\u0000", "\\\\ud800"]`:     "",
		`["\ud83d\ude00", "\uD83D\uDE00", "\u0001", "é"]`: "",
	} {
		if said := document.Wrong(text); (said == "") != (wrong == "") || !strings.Contains(said, wrong) {
			t.Errorf("%s: said %q, want %q", text, said, wrong)
		}
	}
}

func TestStrings(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		`["b","a","a"]`:               {"a", "b"},
		`["1",1,1.0]`:                 {"1", "1.0"},
		`[null,true,[1,"<"],{"a":1}]`: {`[1,"<"]`, "true", `{"a":1}`},
		"[\"e\u0301\",\"\u00e9\"]":    {"e\u0301"},
		`[]`:                          {},
		`null`:                        nil,
		`{"a":1}`:                     nil,
	} {
		if got := document.Strings(text); !slices.Equal(got, want) || (got == nil) != (want == nil) {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}
