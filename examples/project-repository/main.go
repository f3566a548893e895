// Tally counts votes, in memory, over HTTP.
package main

import (
	"log"
	"net/http"
	"time"
)

func main() {
	server := http.Server{Addr: ":8080", Handler: newTally(), ReadHeaderTimeout: 5 * time.Second}
	log.Printf("counting on %s", server.Addr)
	log.Fatal(server.ListenAndServe())
}
