package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

func TestAGapIsTheLongestTimeWithoutAnAnswer(t *testing.T) {
	start := time.Unix(0, 0)
	at := func(milliseconds int) time.Time { return start.Add(time.Duration(milliseconds) * time.Millisecond) }
	refused := errors.New("refused")
	p := &port{name: "dns"}
	p.note(at(100), refused) // before it has ever answered
	p.note(at(200), nil)
	p.note(at(220), nil)
	p.note(at(300), refused)
	p.note(at(1220), nil)
	p.note(at(1240), nil)
	if got := p.state(at(1300)); got.Gap != 1 || got.Failed != 2 || got.Answered != 4 || got.Error != "refused" {
		t.Errorf("got %+v", got)
	}
	if got := p.state(at(3240)); got.Gap != 2 {
		t.Errorf("a gap that lasts is %v s", got.Gap)
	}
}

func TestWhatNeverAnsweredHasNoGap(t *testing.T) {
	p := &port{}
	p.note(time.Unix(0, 0), errors.New("refused"))
	if got := p.state(time.Unix(100, 0)); got.Gap != 0 || got.Failed != 1 {
		t.Errorf("got %+v", got)
	}
}

func TestAPortThatIsShutIsSeen(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	reader, writer := io.Pipe()
	stop := make(chan struct{})
	defer close(stop)
	go watch([]*port{{name: "it", address: listener.Addr().String()}}, writer, stop)
	lines := bufio.NewScanner(reader)
	next := func() state {
		var states []state
		if !lines.Scan() || json.Unmarshal(lines.Bytes(), &states) != nil {
			t.Fatalf("no line: %q", lines.Text())
		}
		return states[0]
	}
	for next().Answered == 0 {
	}
	listener.Close()
	for {
		if got := next(); got.Failed > 10 && got.Gap > 0.3 {
			return
		}
	}
}
