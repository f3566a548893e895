// Stands in for Fluentd's image where Docker Hub is out of reach: it reads what the chart configures, and does that.
package main

import (
	"log"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"time"
)

const configuration = "/fluentd/etc/fluent.conf"

func main() {
	text, err := os.ReadFile(configuration)
	if err != nil {
		log.Fatal(err)
	}
	value := func(pattern string) string {
		found := regexp.MustCompile(`(?m)^\s*` + pattern + `$`).FindSubmatch(text)
		if found == nil {
			log.Fatalf("%s has no %s", configuration, pattern)
		}
		return string(found[1])
	}
	number := func(pattern string, unit float64) float64 {
		found, err := strconv.ParseFloat(value(pattern), 64)
		if err != nil {
			log.Fatal(err)
		}
		return found * unit
	}
	value(`endpoint "http://#\{ENV\['(RECEIVER)'\]\}/records"`)
	server := &standIn{
		match:     value(`<match (\S+)>`),
		pipeline:  value(`pipeline (\S+)`),
		limit:     int64(number(`body_size_limit (\d+)m`, 1<<20)),
		flush:     time.Duration(number(`flush_interval (\S+)`, float64(time.Second))),
		retryWait: time.Duration(number(`retry_wait (\S+)`, float64(time.Second))),
		receiver:  "http://" + os.Getenv("RECEIVER") + "/records",
		fault:     os.Getenv("STANDIN_FAULT"),
	}
	go server.run()
	go func() {
		http.HandleFunc("/api/plugins.json", server.monitor)
		log.Fatal(http.ListenAndServe(":24220", nil))
	}()
	log.Fatal(http.ListenAndServe(":9880", server))
}
