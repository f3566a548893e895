// Stands in for the image of Linkerd's controller where Linkerd's registry is out of reach: it answers from what the
// cluster's API says, with the rights that the chart gives.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
)

const (
	account = "/var/run/secrets/kubernetes.io/serviceaccount/"

	// Bytes of an answer that are read, as in the checks.
	readable = 16 << 20
)

func main() {
	if len(os.Args) < 2 || os.Args[1] != "destination" {
		log.Fatal("the one subcommand of a stand-in is destination")
	}
	flags := flag.NewFlagSet("destination", flag.ExitOnError)
	address, admin := flags.String("addr", ":8086", ""), flags.String("metrics-addr", ":9996", "")
	domain := flags.String("cluster-domain", "cluster.local", "")
	for _, ignored := range []string{"controller-namespace", "identity-trust-domain", "log-level"} {
		flags.String(ignored, "", "")
	}
	flags.Bool("enable-endpoint-slices", true, "")
	_ = flags.Parse(os.Args[2:])
	standIn := &standIn{domain: *domain, lookup: newCluster(), fault: os.Getenv("STANDIN_FAULT")}
	go func() { log.Fatal(http.ListenAndServe(*admin, http.HandlerFunc(standIn.admin))) }()
	listener, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(server(standIn).Serve(listener))
}

// cluster asks the API, by the pod's service account.
type cluster struct {
	client *http.Client
	token  string
}

func newCluster() cluster {
	authority, err := os.ReadFile(account + "ca.crt")
	if err != nil {
		log.Fatal(err)
	}
	token, err := os.ReadFile(account + "token")
	if err != nil {
		log.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	return cluster{&http.Client{Transport: transport}, string(token)}
}

type object struct {
	Metadata struct{ Name, Namespace string }
	Spec     struct{ ClusterIP string }
	// Of an EndpointSlice.
	Endpoints []struct{ Addresses []string }
}

func (c cluster) byName(namespace, name string) (*service, error) {
	var found object
	there, err := c.ask("/api/v1/namespaces/"+namespace+"/services/"+name, &found)
	if err != nil || !there {
		return nil, err
	}
	return c.withEndpoints(found)
}

func (c cluster) byAddress(address string) (*service, error) {
	var list struct{ Items []object }
	if _, err := c.ask("/api/v1/services", &list); err != nil {
		return nil, err
	}
	for _, found := range list.Items {
		if found.Spec.ClusterIP == address {
			return c.withEndpoints(found)
		}
	}
	return nil, nil
}

func (c cluster) withEndpoints(found object) (*service, error) {
	var slices struct{ Items []object }
	selector := url.QueryEscape("kubernetes.io/service-name=" + found.Metadata.Name)
	path := "/apis/discovery.k8s.io/v1/namespaces/" + found.Metadata.Namespace + "/endpointslices?labelSelector=" + selector
	if _, err := c.ask(path, &slices); err != nil {
		return nil, err
	}
	answer := &service{found.Metadata.Namespace, found.Metadata.Name, found.Spec.ClusterIP, nil}
	for _, slice := range slices.Items {
		for _, endpoint := range slice.Endpoints {
			answer.endpoints = append(answer.endpoints, endpoint.Addresses...)
		}
	}
	return answer, nil
}

// ask reads an answer of the API; false: there is no such object.
func (c cluster) ask(path string, value any) (bool, error) {
	host := net.JoinHostPort(os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT"))
	request, err := http.NewRequest(http.MethodGet, "https://"+host+path, nil)
	if err != nil {
		return false, err
	}
	request.Header.Set("Authorization", "Bearer "+c.token)
	response, err := c.client.Do(request)
	if err != nil {
		return false, err
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusNotFound {
		return false, nil
	}
	if response.StatusCode != http.StatusOK {
		return false, fmt.Errorf("GET %s: %s", path, response.Status)
	}
	return true, json.NewDecoder(response.Body).Decode(value)
}
