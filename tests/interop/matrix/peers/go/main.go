// The peer "Go crypto/tls" of the interop matrix: reads jobs from stdin, prints what happened as JSON lines.
// ../README.md has the language that it speaks.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
)

type answer map[string]any

var printing sync.Mutex

func say(a answer) {
	line, err := json.Marshal(a)
	if err != nil {
		panic(err)
	}
	printing.Lock()
	defer printing.Unlock()
	os.Stdout.Write(append(line, '\n'))
}

func sayEnd(job int, err error) {
	var words any
	if err != nil {
		words = err.Error()
	}
	say(answer{"job": job, "event": "end", "error": words})
}

// options are those of one job; those that may be repeated keep their order.
type options map[string][]string

func (o options) one(name, otherwise string) string {
	if values := o[name]; len(values) > 0 {
		return values[len(values)-1]
	}
	return otherwise
}

func (o options) list(name string) []string {
	if text := o.one(name, ""); text != "" {
		return strings.Split(text, ",")
	}
	return nil
}

func (o options) connections() int {
	count, err := strconv.Atoi(o.one("--connections", "1"))
	if err != nil {
		panic(err)
	}
	return count
}

func parse(fields []string) options {
	found := options{}
	for i := 0; i < len(fields); i++ {
		name, value := fields[i], "yes"
		if name != "--no-hints" && i+1 < len(fields) {
			i++
			value = fields[i]
		}
		found[name] = append(found[name], value)
	}
	return found
}

func main() {
	// go.mod names an older Go, and so the groups that are new in 1.26 would be off.
	os.Setenv("GODEBUG", os.Getenv("GODEBUG")+",tlssecpmlkem=1")
	say(answer{"event": "ready", "version": "Go " + strings.TrimPrefix(runtime.Version(), "go")})
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		fields := strings.Split(lines.Text(), "\t")
		job, err := strconv.Atoi(fields[0])
		if err != nil || len(fields) < 2 {
			fmt.Fprintf(os.Stderr, "not a job: %q\n", lines.Text())
			continue
		}
		work := client
		if fields[1] == "server" {
			work = server
		}
		go func() {
			if err := work(job, parse(fields[2:])); err != nil {
				sayEnd(job, err)
			}
		}()
	}
}
