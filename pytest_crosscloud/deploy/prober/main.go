// Command prober asks TCP ports whether anybody answers, all the time, and says so in its log.
//
// Its arguments are name=address:port. A question is a connection; a port's gap is the longest time in which none of
// them was answered. What never answered is no gap: nobody knows that it should. A line of the log is all that is
// known by then, as JSON; deploy/prober.py reads it.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	// Between two questions to a port. They do not wait for one another, so that one that is lost delays none.
	interval = 20 * time.Millisecond
	// After this a question counts as not answered: Linux would send a lost SYN again only then.
	patience = 900 * time.Millisecond
	// Between two lines of the log.
	period = 250 * time.Millisecond
)

type port struct {
	name, address string

	mutex                   sync.Mutex
	asked, answered, failed int
	last                    time.Time
	gap                     time.Duration
	err                     string
}

// state is a port in a line of the log.
type state struct {
	Name     string  `json:"name"`
	Asked    int     `json:"asked"`
	Answered int     `json:"answered"`
	Failed   int     `json:"failed"`
	Gap      float64 `json:"gap"` // seconds
	Error    string  `json:"error"`
}

func main() {
	var ports []*port
	for _, argument := range os.Args[1:] {
		name, address, found := strings.Cut(argument, "=")
		if !found {
			fmt.Fprintf(os.Stderr, "%q is not name=address:port\n", argument)
			os.Exit(2)
		}
		ports = append(ports, &port{name: name, address: address})
	}
	watch(ports, os.Stdout, make(chan struct{}))
}

// watch asks until it is told to stop.
func watch(ports []*port, out io.Writer, stop <-chan struct{}) {
	questions, lines := time.NewTicker(interval), time.NewTicker(period)
	defer questions.Stop()
	defer lines.Stop()
	for {
		select {
		case <-stop:
			return
		case <-questions.C:
			for _, port := range ports {
				go port.ask()
			}
		case <-lines.C:
			now, states := time.Now(), []state{}
			for _, port := range ports {
				states = append(states, port.state(now))
			}
			line, _ := json.Marshal(states)
			fmt.Fprintf(out, "%s\n", line)
		}
	}
}

func (p *port) ask() {
	p.mutex.Lock()
	p.asked++
	p.mutex.Unlock()
	connection, err := net.DialTimeout("tcp", p.address, patience)
	if err == nil {
		connection.Close()
	}
	p.note(time.Now(), err)
}

func (p *port) note(now time.Time, err error) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if err != nil {
		p.failed++
		p.err = err.Error()
		return
	}
	if p.answered > 0 {
		p.gap = max(p.gap, now.Sub(p.last))
	}
	p.answered++
	p.last = now
}

func (p *port) state(now time.Time) state {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	gap := p.gap
	if p.answered > 0 {
		gap = max(gap, now.Sub(p.last))
	}
	return state{p.name, p.asked, p.answered, p.failed, gap.Seconds(), p.err}
}
