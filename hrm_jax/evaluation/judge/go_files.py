"""What a Go package needs to be tested offline: a module, assertions, a report, imports."""

import re

_ASSERT = """
package assert

import (
	"math"
	"reflect"
	"testing"
)

// Assertions are those of testify that the problems call.
type Assertions struct{ t *testing.T }

func New(t *testing.T) *Assertions { return &Assertions{t} }

func (a *Assertions) check(holds bool, say string, values ...interface{}) bool {
	a.t.Helper()
	if !holds {
		a.t.Errorf(say+": %v", values)
	}
	return holds
}

func (a *Assertions) Equal(expected, actual interface{}, _ ...interface{}) bool {
	return a.check(reflect.DeepEqual(expected, actual), "not equal", expected, actual)
}

func (a *Assertions) NotEqual(expected, actual interface{}, _ ...interface{}) bool {
	return a.check(!reflect.DeepEqual(expected, actual), "equal", expected, actual)
}

func (a *Assertions) True(value bool, _ ...interface{}) bool { return a.check(value, "not true") }

func (a *Assertions) False(value bool, _ ...interface{}) bool { return a.check(!value, "true") }

func (a *Assertions) Nil(value interface{}, _ ...interface{}) bool {
	return a.check(isNil(value), "not nil", value)
}

func (a *Assertions) NotNil(value interface{}, _ ...interface{}) bool {
	return a.check(!isNil(value), "nil")
}

func (a *Assertions) InDelta(expected, actual, delta float64, _ ...interface{}) bool {
	return a.check(math.Abs(expected-actual) <= delta, "too far apart", expected, actual)
}

func isNil(value interface{}) bool {
	if value == nil {
		return true
	}
	switch reflected := reflect.ValueOf(value); reflected.Kind() {
	case reflect.Chan, reflect.Func, reflect.Map, reflect.Ptr, reflect.Interface, reflect.Slice:
		return reflected.IsNil()
	}
	return false
}
"""

_REPORT = """
package main

import (
	"io"
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	secret, _ := io.ReadAll(os.Stdin)
	status := m.Run()
	if status == 0 {
		os.Stdout.Write(secret)
	}
	os.Exit(status)
}
"""

_TESTIFY = "github.com/stretchr/testify"

GO_FILES = {
    "go.mod": (
        f"module program\n\ngo 1.18\n\nrequire {_TESTIFY} v1.0.0\n\n"
        f"replace {_TESTIFY} => ./testify\n"
    ),
    "testify/go.mod": f"module {_TESTIFY}\n\ngo 1.18\n",
    "testify/assert/assert.go": _ASSERT,
    "report_test.go": _REPORT,
}
"""Source text by path: all of a package but the program and its tests."""

_PACKAGES = "bytes crypto/md5 errors fmt math math/bits math/rand regexp sort strconv strings time"
_IMPORT = re.compile(r'^import\s*(?:\([^)]*\)|"[^"]*")[ \t]*\n?', re.MULTILINE)


def with_imports(source: str) -> str:
    """Returns a Go source file that imports exactly what it uses; unused imports are errors in Go.

    Prompts and tests of the suites import too much or too little once they are files of their own;
    the published harness mends that in the same way. Packages are those that the file imports, and
    a few of the standard library.
    """
    # What the file imports comes first: of two packages of one name, the file means its own.
    named = [path for found in _IMPORT.findall(source) for path in re.findall(r'"([^"]+)"', found)]
    body = _IMPORT.sub("", source)
    paths = dict.fromkeys([*named, *_PACKAGES.split()])
    # A package counts as used where its last path element stands before an exported name.
    used = [path for path in paths if re.search(rf"\b{path.rpartition('/')[2]}\.[A-Z]", body)]
    lines = "".join(f'import "{path}"\n' for path in used)
    # Imports stand behind the package clause, which is the file's first statement.
    return re.sub(r"^package main\s*\n", f"package main\n\n{lines}\n", body, count=1)
