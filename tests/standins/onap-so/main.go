// Stands in for the images of ONAP's Service Orchestrator and its database where their registries are out of reach.
// Which of them it is, is what the chart says in APP; without it, the database.
package main

import (
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"regexp"
	"time"

	"golang.org/x/crypto/bcrypt"
)

var configured = regexp.MustCompile(`- username: (\S+)\n +password: '([^']+)'`)

func main() {
	app, port := os.Getenv("APP"), os.Getenv("SERVER_PORT")
	if app == "" {
		port = "3306"
	}
	listener, err := net.Listen("tcp", ":"+port)
	if err != nil {
		log.Fatal(err)
	}
	requests := &memory{}
	switch app {
	case "":
		for {
			connection, err := listener.Accept()
			if err != nil {
				log.Fatal(err)
			}
			connection.Close()
		}
	case "api-handler-infra":
		log.Fatal(http.Serve(listener, &standIn{
			lets:     users(os.Getenv("CONFIG_PATH")),
			requests: remote{os.Getenv("MSO_ADAPTERS_REQUESTDB_ENDPOINT"), others()},
			fault:    os.Getenv("STANDIN_FAULT"),
		}))
	default:
		http.HandleFunc("/manage/health", health)
		http.Handle("/requests", requests)
		log.Fatal(http.Serve(listener, nil))
	}
}

// users are those of the chart's configuration, by the hashes of their passwords.
func users(path string) func(user, password string) bool {
	text, err := os.ReadFile(path)
	if err != nil {
		log.Fatal(err)
	}
	hashes := map[string]string{}
	for _, found := range configured.FindAllStringSubmatch(string(text), -1) {
		hashes[found[1]] = found[2]
	}
	return func(user, password string) bool {
		return bcrypt.CompareHashAndPassword([]byte(hashes[user]), []byte(password)) == nil
	}
}

// others are what the API handler cannot work without.
func others() []string {
	return []string{os.Getenv("MSO_ADAPTERS_REQUESTDB_ENDPOINT"), os.Getenv("MSO_CATALOG_DB_SPRING_ENDPOINT")}
}

// health says whether the database is there, as whoever has the chart's variables finds it.
func health(writer http.ResponseWriter, _ *http.Request) {
	address := net.JoinHostPort(os.Getenv("DB_HOST"), os.Getenv("DB_PORT"))
	connection, err := net.DialTimeout("tcp", address, 2*time.Second)
	if err != nil {
		http.Error(writer, err.Error(), http.StatusServiceUnavailable)
		return
	}
	connection.Close()
	fmt.Fprint(writer, `{"status": "UP"}`)
}
