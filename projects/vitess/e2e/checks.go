package main

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

const (
	// Rows that are spread over the shards.
	rows = 100

	// Queries between two looks at vtgate's counters.
	counted = 20

	// How long vtgate may take to learn of a table that was made, for which it asks the tablets, or to count.
	learning = 30 * time.Second
)

// MySQL's own numbers of errors (https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html).
const (
	duplicateEntry = 1062
	noSuchTable    = 1146
)

// A target is the release under test, and what it was configured to be.
type target struct {
	mysql    string        // host:port
	web      string        // URL of vtgate's variables
	keyspace string        // the sharded one
	shards   []string      // its shards' names
	database *sql.DB       // the keyspace, since it answered
	patience time.Duration // until vtgate knows of a change
	table    string        // of this run: an earlier one may have left its own
}

// checks are made one after the other: the first makes the table that the others use.
func (t *target) checks() []check {
	return []check{
		{"the shards that were asked for", t.hasShards},
		{"a sharded table can be made", t.makesTable},
		{"rows are spread over the shards", t.spreads},
		{"a row is found by its key", t.finds},
		{"a query over all shards is one answer", t.merges},
		{"what is rolled back is gone", t.rollsBack},
		{"a key is unique over the shards", t.isUnique},
		{"a table that is not there is MySQL's error", t.knowsNoTable},
		{"vtgate counts the queries", t.counts},
	}
}

// answers waits until vtgate has a primary for each shard.
func (t *target) answers(patience time.Duration) check {
	return check{"answers at all", func() (string, error) {
		database, err := t.open(t.keyspace)
		if err != nil {
			return "", err
		}
		t.database = database
		return eventually(patience, func() (string, error) {
			var version string
			err := database.QueryRow("SELECT @@version").Scan(&version)
			return "version " + version, err
		})
	}}
}

func (t *target) hasShards() (string, error) {
	found, err := t.column("SHOW VITESS_SHARDS")
	if err != nil {
		return "", err
	}
	for _, shard := range t.shards {
		if !slices.Contains(found, t.keyspace+"/"+shard) {
			return "", fmt.Errorf("no shard %s/%s among %s", t.keyspace, shard, strings.Join(found, ", "))
		}
	}
	count := 0
	for _, name := range found {
		if strings.HasPrefix(name, t.keyspace+"/") {
			count++
		}
	}
	if count != len(t.shards) {
		return "", fmt.Errorf("%d shards were asked for, and there are %s", len(t.shards), strings.Join(found, ", "))
	}
	return strings.Join(found, ", "), nil
}

func (t *target) makesTable() (string, error) {
	t.table = fmt.Sprintf("customer_%d", time.Now().UnixNano())
	for _, statement := range []string{
		"CREATE TABLE " + t.table + " (id BIGINT NOT NULL, name VARCHAR(64), PRIMARY KEY (id))",
		"ALTER VSCHEMA ON " + t.keyspace + "." + t.table + " ADD VINDEX xxhash(id) USING xxhash",
	} {
		if _, err := t.database.Exec(statement); err != nil {
			return "", fmt.Errorf("%s: %w", statement, err)
		}
	}
	return eventually(t.patience, func() (string, error) {
		var count int
		err := t.database.QueryRow("SELECT COUNT(*) FROM " + t.table).Scan(&count)
		return fmt.Sprintf("%s.%s has %d rows", t.keyspace, t.table, count), err
	})
}

func (t *target) spreads() (string, error) {
	for id := range rows {
		if _, err := t.database.Exec("INSERT INTO "+t.table+" (id, name) VALUES (?, ?)", id, name(id)); err != nil {
			return "", fmt.Errorf("row %d: %w", id, err)
		}
	}
	total := 0
	var seen []string
	for _, shard := range t.shards {
		database, err := t.open(t.keyspace + ":" + shard)
		if err != nil {
			return "", err
		}
		defer database.Close()
		var count int
		if err := database.QueryRow("SELECT COUNT(*) FROM " + t.table).Scan(&count); err != nil {
			return "", fmt.Errorf("shard %s: %w", shard, err)
		}
		seen = append(seen, fmt.Sprintf("%d in %s", count, shard))
		total += count
		if count == 0 {
			return "", fmt.Errorf("shard %s has none of %d rows", shard, rows)
		}
	}
	if total != rows {
		return "", fmt.Errorf("the shards have %d of %d rows: %s", total, rows, strings.Join(seen, ", "))
	}
	return strings.Join(seen, ", "), nil
}

func (t *target) finds() (string, error) {
	for _, id := range []int{0, 42, rows - 1} {
		var found string
		if err := t.database.QueryRow("SELECT name FROM "+t.table+" WHERE id = ?", id).Scan(&found); err != nil {
			return "", fmt.Errorf("row %d: %w", id, err)
		}
		if found != name(id) {
			return "", fmt.Errorf("row %d is %q, and not %q", id, name(id), found)
		}
	}
	err := t.database.QueryRow("SELECT name FROM "+t.table+" WHERE id = ?", rows+1).Scan(new(string))
	if !errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("row %d was never written, and there is: %v", rows+1, err)
	}
	return fmt.Sprintf("row 42 is %q", name(42)), nil
}

// merges wants vtgate to add up and to sort what comes from several shards.
func (t *target) merges() (string, error) {
	var count, sum int
	if err := t.database.QueryRow("SELECT COUNT(*), SUM(id) FROM "+t.table).Scan(&count, &sum); err != nil {
		return "", err
	}
	if want := rows * (rows - 1) / 2; count != rows || sum != want {
		return "", fmt.Errorf("%d rows with the sum %d, and not %d with %d", rows, want, count, sum)
	}
	last, err := t.column("SELECT id FROM " + t.table + " ORDER BY id DESC LIMIT 5")
	if err != nil {
		return "", err
	}
	var want []string
	for id := rows - 1; len(want) < 5; id-- {
		want = append(want, fmt.Sprint(id))
	}
	if !slices.Equal(last, want) {
		return "", fmt.Errorf("the last five are %s, and not %s", strings.Join(want, " "), strings.Join(last, " "))
	}
	return fmt.Sprintf("%d rows, sum %d, last %s", count, sum, strings.Join(last, " ")), nil
}

func (t *target) rollsBack() (string, error) {
	transaction, err := t.database.Begin()
	if err != nil {
		return "", err
	}
	defer func() { _ = transaction.Rollback() }()
	if _, err := transaction.Exec("UPDATE "+t.table+" SET name = ? WHERE id = ?", "nobody", 7); err != nil {
		return "", err
	}
	var within, after string
	if err := transaction.QueryRow("SELECT name FROM "+t.table+" WHERE id = ?", 7).Scan(&within); err != nil {
		return "", err
	}
	if err := transaction.Rollback(); err != nil {
		return "", err
	}
	if err := t.database.QueryRow("SELECT name FROM "+t.table+" WHERE id = ?", 7).Scan(&after); err != nil {
		return "", err
	}
	if within != "nobody" || after != name(7) {
		return "", fmt.Errorf("row 7 was %q in the transaction and %q after it was rolled back", within, after)
	}
	return fmt.Sprintf("row 7: %q within, %q after", within, after), nil
}

func (t *target) isUnique() (string, error) {
	_, err := t.database.Exec("INSERT INTO "+t.table+" (id, name) VALUES (?, ?)", 7, "somebody else")
	return refused(err, duplicateEntry)
}

func (t *target) knowsNoTable() (string, error) {
	_, err := t.column("SELECT id FROM no_such_table")
	return refused(err, noSuchTable)
}

func (t *target) counts() (string, error) {
	before, err := t.executed()
	if err != nil {
		return "", err
	}
	for range counted {
		if _, err := t.column("SELECT name FROM " + t.table + " WHERE id = 7"); err != nil {
			return "", err
		}
	}
	return eventually(t.patience, func() (string, error) {
		after, err := t.executed()
		if err == nil && after-before < counted {
			err = fmt.Errorf("%d queries raised VtgateApi.TotalCount by %d", counted, after-before)
		}
		return fmt.Sprintf("VtgateApi.TotalCount went from %d to %d", before, after), err
	})
}

// executed is how many calls vtgate has answered.
func (t *target) executed() (int, error) {
	var variables struct {
		VtgateApi *struct{ TotalCount int }
	}
	if err := getJSON(t.web+"/debug/vars", &variables); err != nil {
		return 0, err
	}
	if variables.VtgateApi == nil {
		return 0, errors.New("no VtgateApi among /debug/vars")
	}
	return variables.VtgateApi.TotalCount, nil
}

// open is a database of the server; a name with a shard ("commerce:-80") is that shard alone.
func (t *target) open(name string) (*sql.DB, error) {
	settings := mysql.NewConfig()
	settings.User, settings.Net, settings.Addr, settings.DBName = "root", "tcp", t.mysql, name
	settings.InterpolateParams = true
	settings.Timeout, settings.ReadTimeout = 10*time.Second, 30*time.Second
	connector, err := mysql.NewConnector(settings)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

// column is the first column of a query's answer.
func (t *target) column(query string) ([]string, error) {
	answer, err := t.database.Query(query)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", query, err)
	}
	defer answer.Close()
	columns, err := answer.Columns()
	if err != nil {
		return nil, err
	}
	var found []string
	for answer.Next() {
		values := make([]any, len(columns))
		for place := range values {
			values[place] = new(sql.RawBytes)
		}
		if err := answer.Scan(values...); err != nil {
			return nil, err
		}
		found = append(found, string(*values[0].(*sql.RawBytes)))
	}
	return found, answer.Err()
}

// refused wants an error with that number of MySQL's.
func refused(err error, number uint16) (string, error) {
	var refusal *mysql.MySQLError
	if err == nil {
		return "", fmt.Errorf("it was taken, and not refused with error %d", number)
	}
	if !errors.As(err, &refusal) || refusal.Number != number {
		return "", fmt.Errorf("error %d was to come, and not: %w", number, err)
	}
	return refusal.Error(), nil
}

func name(id int) string {
	return fmt.Sprintf("customer %d", id)
}
