// Package document tells when two texts mean the same to people, Terraform and PostgreSQL, and which of them can be stored. It is
// below all domains and knows none of them.
package document

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// SameText tells whether two texts are the same to Terraform, which knows each text in its composed form (Unicode's NFC) only:
// the text that it holds for a row stands for whichever form is stored.
func SameText(a, b string) bool { return a == b || norm.NFC.String(a) == norm.NFC.String(b) }

// SameJSON tells whether two JSON documents mean the same: white space, the order of an object's members, the way in which a
// character is escaped and the way in which a number is written (1.0, 1, 10e-1) do not matter. Of members with the same name the last
// one counts, as it does for jsonb and in Python. Numbers are compared digit by digit, whatever their size.
func SameJSON(a, b string) bool {
	if SameText(a, b) {
		return true
	}
	// A decoder reads half a surrogate pair as U+FFFD, which is another character.
	if halfPair(a) || halfPair(b) {
		return false
	}
	first, errFirst := decode(norm.NFC.String(a))
	second, errSecond := decode(norm.NFC.String(b))
	return errFirst == nil && errSecond == nil && sameValue(first, second)
}

// Strings returns the texts of a JSON array, each once, as a set of texts shows them: what is no text as JSON, and no null. It
// returns nil for what is no array.
func Strings(text string) []string {
	value, err := decode(text)
	array, ok := value.([]any)
	if err != nil || !ok {
		return nil
	}
	texts := make([]string, 0, len(array))
	for _, element := range array {
		switch element := element.(type) {
		case nil:
		case string:
			texts = append(texts, element)
		default:
			texts = append(texts, encode(element))
		}
	}
	return Set(texts)
}

// Set returns each of the texts once, in order.
func Set(texts []string) []string {
	sorted := slices.Clone(texts)
	slices.Sort(sorted)
	seen := map[string]bool{}
	return slices.DeleteFunc(sorted, func(text string) bool {
		composed := norm.NFC.String(text)
		defer func() { seen[composed] = true }()
		return seen[composed]
	})
}

// SameSet tells whether two lists have the same texts, in whatever order and however often.
func SameSet(a, b []string) bool {
	composed := func(texts []string) []string {
		all := make([]string, len(texts))
		for i, text := range texts {
			all[i] = norm.NFC.String(text)
		}
		return Set(all)
	}
	return slices.Equal(composed(a), composed(b))
}

// Wrong says why PostgreSQL's functions could not read a JSON document, or it is empty.
func Wrong(text string) string {
	if _, err := decode(text); err != nil {
		return "is not JSON: " + fault(text)
	}
	switch plain := withoutBackslashes(text); {
	case strings.Contains(plain, `\u0000`):
		return `holds \u0000, a character that PostgreSQL cannot store`
	case halfPair(text):
		return `holds half of a surrogate pair (\ud800 to \udfff), which is no character`
	}
	return ""
}

// fault tells where a text stops to be JSON, in characters as an editor counts them.
func fault(text string) string {
	at := len(text)
	// A blank behind the end tells a text that ends too early from one whose last character is wrong.
	if wrong := (*json.SyntaxError)(nil); errors.As(json.Unmarshal([]byte(text+" "), new(json.RawMessage)), &wrong) {
		at = int(wrong.Offset) - 1
	}
	before, rest := text[:at], text[at:]
	line := before[strings.LastIndex(before, "\n")+1:]
	place := fmt.Sprintf("at line %d, column %d", strings.Count(before, "\n")+1, utf8.RuneCountInString(line)+1)
	if rest == "" {
		return "it ends too early, " + place
	}
	_, size := utf8.DecodeRuneInString(rest)
	return fmt.Sprintf("unexpected %q %s", rest[:size], place)
}

var (
	pair = regexp.MustCompile(`\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}`)
	half = regexp.MustCompile(`\\u[dD][89a-fA-F][0-9a-fA-F]{2}`)
)

// withoutBackslashes leaves out the escaped ones, so that each backslash that is left begins an escape.
func withoutBackslashes(text string) string { return strings.ReplaceAll(text, `\\`, "") }

func halfPair(text string) bool {
	return strings.Contains(text, `\u`) && half.MatchString(pair.ReplaceAllString(withoutBackslashes(text), ""))
}

func decode(text string) (value any, err error) {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the document")
	}
	return value, nil
}

func encode(value any) string {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return "" // what was decoded can be encoded
	}
	return strings.TrimSuffix(text.String(), "\n")
}

func sameValue(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for name, value := range a {
			if other, ok := b[name]; !ok || !sameValue(value, other) {
				return false
			}
		}
		return true
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, sameValue)
	case json.Number:
		b, ok := b.(json.Number)
		return ok && (a == b || sameNumber(a.String(), b.String()))
	}
	return a == b
}

// sameNumber never writes a number out: 1e1000000000 is a number of JSON, too.
func sameNumber(a, b string) bool {
	first, second := parseNumber(a), parseNumber(b)
	return first.negative == second.negative && first.digits == second.digits && first.exponent.Cmp(second.exponent) == 0
}

// number is ±0.digits × 10^exponent, without zeros around the digits. Zero has no digits, and no sign.
type number struct {
	negative bool
	digits   string
	exponent *big.Int
}

func parseNumber(text string) number {
	text, negative := strings.CutPrefix(text, "-")
	mantissa, power, _ := strings.Cut(strings.ToLower(text), "e")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	exponent := new(big.Int)
	if digits == "" {
		return number{exponent: exponent}
	}
	if power != "" {
		exponent.SetString(strings.TrimPrefix(power, "+"), 10)
	}
	zeros := len(whole+fraction) - len(digits)
	exponent.Add(exponent, big.NewInt(int64(len(whole)-zeros)))
	return number{negative, strings.TrimRight(digits, "0"), exponent}
}
