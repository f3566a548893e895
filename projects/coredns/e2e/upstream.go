package main

import (
	"net"
	"net/netip"
	"sync"

	"github.com/miekg/dns"
)

// Seconds for which an answer of this container may be kept.
const upstreamTTL = 1

// An upstream is the DNS server that the release forwards a zone to: this container.
type upstream struct {
	lock    sync.Mutex
	records map[string]netip.Addr
	queries int
}

func newUpstream() *upstream { return &upstream{records: map[string]netip.Addr{}} }

// listen has it answer at an address, over UDP and TCP, until the program ends.
func (u *upstream) listen(address string) error {
	packets, stream, err := sockets(address)
	if err != nil {
		return err
	}
	for _, each := range []*dns.Server{{PacketConn: packets, Handler: u}, {Listener: stream, Handler: u}} {
		go func() { _ = each.ActivateAndServe() }()
	}
	return nil
}

// sockets are bound to one address and port. With port 0, to one that is free for both: UDP's may be taken for TCP.
func sockets(address string) (packets net.PacketConn, stream net.Listener, err error) {
	for range 20 {
		if packets, err = net.ListenPacket("udp", address); err != nil {
			return nil, nil, err
		}
		if stream, err = net.Listen("tcp", packets.LocalAddr().String()); err == nil {
			return packets, stream, nil
		}
		packets.Close()
	}
	return nil, nil, err
}

func (u *upstream) set(name string, address netip.Addr) {
	u.lock.Lock()
	defer u.lock.Unlock()
	u.records[name] = address
}

func (u *upstream) asked() int {
	u.lock.Lock()
	defer u.lock.Unlock()
	return u.queries
}

func (u *upstream) ServeDNS(writer dns.ResponseWriter, question *dns.Msg) {
	u.lock.Lock()
	u.queries++
	address, ok := u.records[question.Question[0].Name]
	u.lock.Unlock()
	answer := new(dns.Msg).SetReply(question)
	answer.Authoritative = true
	if !ok {
		answer.Rcode = dns.RcodeNameError
	} else if question.Question[0].Qtype == dns.TypeA {
		header := dns.RR_Header{Name: question.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: upstreamTTL}
		answer.Answer = []dns.RR{&dns.A{Hdr: header, A: address.AsSlice()}}
	}
	_ = writer.WriteMsg(answer)
}
