package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
)

// Linkerd's destination API, as far as it is asked here: fields by their numbers in
// https://github.com/linkerd/linkerd2-proxy-api/blob/main/proto/destination.proto and net.proto.
const (
	getMethod     = "/io.linkerd.proxy.destination.Destination/Get"
	profileMethod = "/io.linkerd.proxy.destination.Destination/GetProfile"
)

// An update is the first thing that Get says of an authority.
type update struct {
	addresses []string          // what is there
	labels    map[string]string // of the Service
	none      bool              // there is no endpoint
	exists    bool              // and the Service exists all the same
}

// ask is Get of an authority: name and port of a Service.
func ask(ctx context.Context, address, authority string) (*update, error) {
	answer, err := call(ctx, address, getMethod, wanted(authority))
	if err != nil {
		return nil, err
	}
	found := &update{labels: map[string]string{}}
	err = each(answer, func(field part) error {
		switch field.number {
		case 1: // add
			return each(field.bytes, found.weighted)
		case 3: // no_endpoints
			found.none = true
			return each(field.bytes, func(inner part) error {
				found.exists = found.exists || inner.number == 1 && inner.value != 0
				return nil
			})
		}
		return nil
	})
	return found, err
}

// weighted reads a field of a WeightedAddrSet: an address, or one of the Service's labels.
func (u *update) weighted(field part) error {
	switch field.number {
	case 1:
		return each(field.bytes, func(inner part) error {
			if inner.number != 1 {
				return nil
			}
			address, err := tcpAddress(inner.bytes)
			u.addresses = append(u.addresses, address)
			return err
		})
	case 2:
		var key, value string
		err := each(field.bytes, func(inner part) error {
			if inner.number == 1 {
				key = string(inner.bytes)
			} else {
				value = string(inner.bytes)
			}
			return nil
		})
		u.labels[key] = value
		return err
	}
	return nil
}

// profile is the full name that GetProfile has for a path: name or address, and port.
func profile(ctx context.Context, address, path string) (string, error) {
	answer, err := call(ctx, address, profileMethod, wanted(path))
	if err != nil {
		return "", err
	}
	name := ""
	err = each(answer, func(field part) error {
		if field.number == 5 {
			name = string(field.bytes)
		}
		return nil
	})
	return name, err
}

// wanted is the message GetDestination.
func wanted(path string) []byte {
	message := append([]byte{1<<3 | 2, 3}, "k8s"...)
	message = append(message, 2<<3|2)
	return append(binary.AppendUvarint(message, uint64(len(path))), path...)
}

// tcpAddress reads a TcpAddress, as one types it.
func tcpAddress(message []byte) (string, error) {
	var ip netip.Addr
	port := uint64(0)
	err := each(message, func(field part) error {
		if field.number == 2 {
			port = field.value
			return nil
		}
		return each(field.bytes, func(inner part) error {
			if inner.number == 1 {
				ip = netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, uint32(inner.value))))
				return nil
			}
			var halves [2]uint64
			err := each(inner.bytes, func(half part) error {
				if half.number == 1 || half.number == 2 {
					halves[half.number-1] = half.value
				}
				return nil
			})
			ip = netip.AddrFrom16([16]byte(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, halves[0]), halves[1])))
			return err
		})
	})
	return netip.AddrPortFrom(ip, uint16(port)).String(), err
}

// A part is a field of a message in protobuf's wire format (https://protobuf.dev/programming-guides/encoding): a number or bytes.
type part struct {
	number uint64
	value  uint64
	bytes  []byte
}

var errTruncated = errors.New("a message that ends in the middle")

// each visits the fields of a message.
func each(message []byte, visit func(part) error) error {
	for len(message) > 0 {
		tag, size := binary.Uvarint(message)
		if size <= 0 {
			return errTruncated
		}
		message = message[size:]
		found := part{number: tag >> 3}
		switch tag & 7 {
		case 0:
			found.value, size = binary.Uvarint(message)
			if size <= 0 {
				return errTruncated
			}
		case 1:
			if size = 8; len(message) < size {
				return errTruncated
			}
			found.value = binary.LittleEndian.Uint64(message)
		case 2:
			length, prefix := binary.Uvarint(message)
			if prefix <= 0 || length > uint64(len(message)-prefix) {
				return errTruncated
			}
			size = prefix + int(length)
			found.bytes = message[prefix:size]
		case 5:
			if size = 4; len(message) < size {
				return errTruncated
			}
			found.value = uint64(binary.LittleEndian.Uint32(message))
		default:
			return fmt.Errorf("field %d has wire type %d", found.number, tag&7)
		}
		message = message[size:]
		if err := visit(found); err != nil {
			return err
		}
	}
	return nil
}
