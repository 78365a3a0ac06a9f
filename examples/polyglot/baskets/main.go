// Baskets: what an account is about to buy.
//
//	GET    /baskets/{account}         the basket, priced by the catalogue
//	POST   /baskets/{account}/items   {"sku": "tea", "quantity": 2}: that many more
//	DELETE /baskets/{account}         empties it
//
// It asks two other services, which it finds through $ACCOUNTS_URL and $CATALOG_URL.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

type service struct {
	accounts string
	catalog  string
	baskets  store
	client   http.Client
}

type line struct {
	Sku      string `json:"sku"`
	Quantity int    `json:"quantity"`
	Price    int    `json:"price"`
}

type basket struct {
	Account  int    `json:"account"`
	Items    []line `json:"items"`
	Total    int    `json:"total"`
	Instance string `json:"instance,omitempty"`
}

// failure is an error with the status that it is answered with.
type failure struct {
	status  int
	message string
}

func (f failure) Error() string { return f.message }

var skuUnknown = errors.New("no such product")

const quantityMax = 1000

func main() {
	log.SetFlags(0)
	log.SetOutput(os.Stdout)
	dir := os.Getenv("BASKETS_DIR")
	if dir == "" {
		dir = "data"
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		log.Fatal(err)
	}
	s := &service{
		accounts: needed("ACCOUNTS_URL"),
		catalog:  needed("CATALOG_URL"),
		baskets:  store{dir},
		client:   http.Client{Timeout: 5 * time.Second},
	}
	server := &http.Server{
		Addr:              "127.0.0.1:" + needed("PORT"),
		Handler:           s,
		ReadHeaderTimeout: 10 * time.Second,
	}

	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	stopped := make(chan error)
	go func() {
		<-stop.Done()
		// Stops accepting and waits for the requests that are still being answered.
		deadline, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		stopped <- server.Shutdown(deadline)
	}()
	log.Printf("baskets listening on %s", server.Addr)
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
	if err := <-stopped; err != nil {
		log.Fatal(err)
	}
	log.Print("baskets stopped")
}

func needed(name string) string {
	value := os.Getenv(name)
	if value == "" {
		log.Fatalf("%s is not set", name)
	}
	return strings.TrimSuffix(value, "/")
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	status := http.StatusOK
	body, err := s.answer(r)
	if err != nil {
		status = http.StatusInternalServerError
		var known failure
		if errors.As(err, &known) {
			status = known.status
		}
		body = map[string]any{"error": map[string]string{"message": err.Error()}}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
	if r.URL.Path != "/ready" {
		log.Printf("%s %s %d", r.Method, r.URL.Path, status)
	}
}

// answer is written for Go 1.19, whose ServeMux knows neither methods nor wildcards.
func (s *service) answer(r *http.Request) (any, error) {
	if r.URL.Path == "/ready" {
		return map[string]bool{"ready": true}, nil
	}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if len(parts) < 2 || parts[0] != "baskets" {
		return nil, failure{http.StatusNotFound, "there is nothing here"}
	}
	account, err := strconv.Atoi(parts[1])
	if err != nil || account < 1 {
		return nil, failure{http.StatusNotFound, "there is no account " + parts[1]}
	}
	isItems := len(parts) == 3 && parts[2] == "items"
	switch {
	case len(parts) == 2 && r.Method == http.MethodGet:
		items, err := s.baskets.read(account)
		if err != nil {
			return nil, err
		}
		return s.priced(r, account, items)
	case len(parts) == 2 && r.Method == http.MethodDelete:
		err := s.baskets.change(account, func(items map[string]int) error {
			for sku := range items {
				delete(items, sku)
			}
			return nil
		})
		return basket{Account: account, Items: []line{}}, err
	case isItems && r.Method == http.MethodPost:
		return s.add(r, account)
	case len(parts) == 2 || isItems:
		return nil, failure{http.StatusMethodNotAllowed, "this path does not know the method"}
	default:
		return nil, failure{http.StatusNotFound, "there is nothing here"}
	}
}

func (s *service) add(r *http.Request, account int) (any, error) {
	var more line
	if err := json.NewDecoder(http.MaxBytesReader(nil, r.Body, 1<<16)).Decode(&more); err != nil {
		return nil, failure{http.StatusBadRequest, "the body is not as expected: " + err.Error()}
	}
	if more.Sku == "" || more.Quantity < 1 || more.Quantity > quantityMax {
		return nil, failure{http.StatusBadRequest, fmt.Sprintf("`quantity` is 1 to %d", quantityMax)}
	}
	switch status, err := s.get(r, fmt.Sprintf("%s/accounts/%d", s.accounts, account), nil); {
	case err != nil:
		return nil, err
	case status == http.StatusNotFound:
		return nil, failure{http.StatusUnprocessableEntity, fmt.Sprintf("there is no account %d", account)}
	}
	if _, err := s.price(r, more.Sku); errors.Is(err, skuUnknown) {
		return nil, failure{http.StatusUnprocessableEntity, "there is no product " + more.Sku}
	} else if err != nil {
		return nil, err
	}
	var after map[string]int
	err := s.baskets.change(account, func(items map[string]int) error {
		if items[more.Sku]+more.Quantity > quantityMax {
			return failure{http.StatusConflict, "that is too much for one basket"}
		}
		items[more.Sku] += more.Quantity
		after = items
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s.priced(r, account, after)
}

func (s *service) priced(r *http.Request, account int, items map[string]int) (any, error) {
	result := basket{Account: account, Items: []line{}, Instance: os.Getenv("FLOTILLA_INSTANCE")}
	for _, sku := range sortedKeys(items) {
		price, err := s.price(r, sku)
		if err != nil {
			return nil, err
		}
		result.Items = append(result.Items, line{sku, items[sku], price})
		result.Total += price * items[sku]
	}
	return result, nil
}

func (s *service) price(r *http.Request, sku string) (int, error) {
	var product struct{ Price int }
	status, err := s.get(r, s.catalog+"/products/"+url.PathEscape(sku), &product)
	if err == nil && status == http.StatusNotFound {
		err = skuUnknown
	}
	return product.Price, err
}

// get asks another service. Its 404 is an answer, anything else but 200 is a failure.
func (s *service) get(r *http.Request, url string, into any) (int, error) {
	request, err := http.NewRequestWithContext(r.Context(), http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	if trace := r.Header.Get("Traceparent"); trace != "" {
		request.Header.Set("Traceparent", trace)
	}
	response, err := s.client.Do(request)
	if err != nil {
		return 0, failure{http.StatusBadGateway, err.Error()}
	}
	defer response.Body.Close()
	switch {
	case response.StatusCode == http.StatusNotFound:
		return response.StatusCode, nil
	case response.StatusCode != http.StatusOK:
		return 0, failure{http.StatusBadGateway, url + " answered " + response.Status}
	case into != nil:
		if err := json.NewDecoder(response.Body).Decode(into); err != nil {
			return 0, failure{http.StatusBadGateway, url + ": " + err.Error()}
		}
	}
	return response.StatusCode, nil
}
