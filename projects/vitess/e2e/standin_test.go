package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// A standIn does what the checks look at of Vitess, except for the fault that a test gives it. It is no Vitess: it
// knows one table and the statements of the checks, over MySQL's protocol. The project's tests run it here, and as an
// image on a cluster.
type standIn struct {
	keyspaces map[string]int // number of shards, by name
	fault     string

	mutex    sync.Mutex
	rows     map[int]string // nil: there is no table
	executed int
}

// A session is one connection: the database that it names, and what a transaction would put back.
type session struct {
	*standIn
	database string
	before   map[int]string
}

var (
	insert   = regexp.MustCompile(`^INSERT INTO customer_\d+ \(id, name\) VALUES \((\d+), '(.*)'\)$`)
	update   = regexp.MustCompile(`^UPDATE customer_\d+ SET name = '(.*)' WHERE id = (\d+)$`)
	selectID = regexp.MustCompile(`^SELECT name FROM customer_\d+ WHERE id = (\d+)$`)
	lastIDs  = regexp.MustCompile(`^SELECT id FROM customer_\d+ ORDER BY id DESC LIMIT (\d+)$`)
)

// execute is the answer to a statement: rows with as many columns each, or MySQL's error.
func (s *session) execute(statement string) ([][]string, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.executed++
	switch {
	case statement == "SELECT @@version":
		return [][]string{{"8.4.6-stand-in"}}, nil
	case statement == "SHOW VITESS_SHARDS":
		return s.shards(), nil
	case strings.HasPrefix(statement, "CREATE TABLE customer_"):
		s.rows = map[int]string{}
		return nil, nil
	case strings.HasPrefix(statement, "ALTER VSCHEMA ON "):
		return nil, nil
	case statement == "START TRANSACTION":
		s.before = map[int]string{}
		for id, name := range s.rows {
			s.before[id] = name
		}
		return nil, nil
	case statement == "ROLLBACK":
		if s.fault != "keeps what is rolled back" {
			s.rows = s.before
		}
		return nil, nil
	case s.rows == nil || strings.Contains(statement, "no_such_table") && s.fault != "knows every table":
		return nil, fmt.Errorf("1146 42S02 target: commerce.primary: table not found")
	case strings.HasPrefix(statement, "SELECT COUNT(*) FROM customer_"):
		return [][]string{{strconv.Itoa(len(s.visible()))}}, nil
	case strings.HasPrefix(statement, "SELECT COUNT(*), SUM(id) FROM customer_"):
		sum := 0
		for _, id := range s.visible() {
			sum += id
		}
		if s.fault == "adds up one shard" {
			sum /= 2
		}
		return [][]string{{strconv.Itoa(len(s.visible())), strconv.Itoa(sum)}}, nil
	}
	if found := insert.FindStringSubmatch(statement); found != nil {
		id, _ := strconv.Atoi(found[1])
		if _, there := s.rows[id]; there && s.fault != "takes keys twice" {
			return nil, fmt.Errorf("1062 23000 Duplicate entry '%d' for key 'customer.PRIMARY'", id)
		}
		if s.fault != "loses rows" || id%10 != 0 {
			s.rows[id] = found[2]
		}
		return nil, nil
	}
	if found := update.FindStringSubmatch(statement); found != nil {
		id, _ := strconv.Atoi(found[2])
		s.rows[id] = found[1]
		return nil, nil
	}
	if found := selectID.FindStringSubmatch(statement); found != nil {
		id, _ := strconv.Atoi(found[1])
		if s.fault == "finds another" {
			id++
		}
		if name, there := s.rows[id]; there {
			return [][]string{{name}}, nil
		}
		return [][]string{}, nil
	}
	if found := lastIDs.FindStringSubmatch(statement); found != nil {
		limit, _ := strconv.Atoi(found[1])
		ids := s.visible()
		slices.Sort(ids)
		if s.fault != "sorts within shards" {
			slices.Reverse(ids)
		}
		var answer [][]string
		for _, id := range ids[:min(limit, len(ids))] {
			answer = append(answer, []string{strconv.Itoa(id)})
		}
		return answer, nil
	}
	if strings.Contains(statement, "no_such_table") {
		return [][]string{}, nil
	}
	return nil, fmt.Errorf("1105 HY000 a stand-in does not know: %s", statement)
}

// shards are the names of all keyspaces' shards.
func (s *standIn) shards() [][]string {
	var found [][]string
	for keyspace, count := range s.keyspaces {
		if s.fault == "one shard" {
			count = 1
		}
		for number := range count {
			found = append(found, []string{keyspace + "/" + shard(number, count)})
		}
	}
	slices.SortFunc(found, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
	return found
}

// shard is the name of one of up to 256: the range of keys that it has.
func shard(number, count int) string {
	if count == 1 {
		return "0"
	}
	bound := func(at int) string {
		if at == 0 || at == count {
			return ""
		}
		return fmt.Sprintf("%02x", at*256/count)
	}
	return bound(number) + "-" + bound(number+1)
}

// visible are the ids of the rows in the session's shard, or in all.
func (s *session) visible() []int {
	keyspace, wanted, _ := strings.Cut(s.database, ":")
	count := s.keyspaces[keyspace]
	var ids []int
	for id := range s.rows {
		at := id * 7 % count
		if s.fault == "spreads nothing" {
			at = 0
		}
		if wanted == "" || wanted == shard(at, count) {
			ids = append(ids, id)
		}
	}
	return ids
}

// ServeHTTP is vtgate's /debug/vars.
func (s *standIn) ServeHTTP(writer http.ResponseWriter, _ *http.Request) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	count := s.executed
	if s.fault == "counts nothing" {
		count = 0
	}
	fmt.Fprintf(writer, `{"BuildNumber": "0", "VtgateApi": {"TotalCount": %d, "TotalTime": 1}}`, count)
}

// -- MySQL's protocol (https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html), as far as it goes -------

const (
	// LONG_FLAG, CONNECT_WITH_DB, PROTOCOL_41, TRANSACTIONS, SECURE_CONNECTION and PLUGIN_AUTH.
	capabilities = 0x4 | 0x8 | 0x200 | 0x2000 | 0x8000 | 0x80000

	withDatabase = 0x8
	lengthOfAuth = 0x200000
)

func (s *standIn) serve(listener net.Listener) error {
	for {
		connection, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer connection.Close()
			(&conversation{reader: bufio.NewReader(connection), writer: connection}).hold(&session{standIn: s})
		}()
	}
}

type conversation struct {
	reader   *bufio.Reader
	writer   io.Writer
	sequence byte
}

// hold greets the client, lets anybody in, and answers statements.
func (c *conversation) hold(session *session) {
	salt := []byte("01234567890123456789\x00")
	greeting := slices.Concat([]byte("\x0a8.4.6-stand-in\x00\x01\x00\x00\x00"), salt[:8], []byte{0})
	greeting = binary.LittleEndian.AppendUint16(greeting, capabilities&0xffff)
	greeting = append(greeting, 255, 2, 0)
	greeting = binary.LittleEndian.AppendUint16(greeting, capabilities>>16)
	greeting = slices.Concat(greeting, []byte{21}, make([]byte, 10), salt[8:], []byte("mysql_native_password\x00"))
	c.send(greeting)
	login, err := c.receive()
	if err != nil || len(login) < 33 {
		return
	}
	session.database = database(login)
	c.send([]byte{0, 0, 0, 2, 0, 0, 0})
	for {
		c.sequence = 0
		command, err := c.receive()
		if err != nil || len(command) == 0 || command[0] == 1 { // quit
			return
		}
		if command[0] != 3 { // ping
			c.send([]byte{0, 0, 0, 2, 0, 0, 0})
			continue
		}
		rows, err := session.execute(string(command[1:]))
		c.answer(rows, err)
	}
}

// database is the one that a login names.
func database(login []byte) string {
	flags := binary.LittleEndian.Uint32(login)
	_, rest, _ := bytes.Cut(login[32:], []byte{0}) // the user
	if flags&lengthOfAuth == 0 && len(rest) == 0 || int(rest[0]) >= len(rest) || flags&withDatabase == 0 {
		return ""
	}
	name, _, _ := bytes.Cut(rest[1+int(rest[0]):], []byte{0})
	return string(name)
}

func (c *conversation) answer(rows [][]string, err error) {
	if err != nil {
		number, rest, _ := strings.Cut(err.Error(), " ")
		state, message, _ := strings.Cut(rest, " ")
		code, _ := strconv.Atoi(number)
		c.send(append(binary.LittleEndian.AppendUint16([]byte{0xff}, uint16(code)), "#"+state+message...))
		return
	}
	if rows == nil {
		c.send([]byte{0, 1, 0, 2, 0, 0, 0})
		return
	}
	columns := 1
	if len(rows) > 0 {
		columns = len(rows[0])
	}
	end := []byte{0xfe, 0, 0, 2, 0}
	c.send([]byte{byte(columns)})
	for number := range columns {
		definition := text("def", "", "", "", fmt.Sprintf("c%d", number), "")
		c.send(append(definition, 0x0c, 255, 0, 0, 1, 0, 0, 0xfd, 0, 0, 0, 0, 0))
	}
	c.send(end)
	for _, row := range rows {
		c.send(text(row...))
	}
	c.send(end)
}

// text are strings, each after its length: none here has more than 250 bytes.
func text(values ...string) []byte {
	var packed []byte
	for _, value := range values {
		packed = append(append(packed, byte(len(value))), value...)
	}
	return packed
}

func (c *conversation) send(payload []byte) {
	head := []byte{byte(len(payload)), byte(len(payload) >> 8), byte(len(payload) >> 16), c.sequence}
	c.sequence++
	_, _ = c.writer.Write(append(head, payload...))
}

func (c *conversation) receive() ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(c.reader, head[:]); err != nil {
		return nil, err
	}
	c.sequence = head[3] + 1
	payload := make([]byte, int(head[0])|int(head[1])<<8|int(head[2])<<16)
	_, err := io.ReadFull(c.reader, payload)
	return payload, err
}
