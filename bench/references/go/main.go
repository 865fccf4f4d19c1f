// The service as most teams would write it in Go: net/http from the standard library, with a JSON
// access line for each request. It is a reference for bench/compare.py, which builds and runs it.
package main

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"log"
	"net/http"
	"os"
	"time"
)

type addends struct {
	A *int64 `json:"a"`
	B *int64 `json:"b"`
}

type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

func healthz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Write([]byte(`{"status":"ok"}`))
}

func sum(w http.ResponseWriter, r *http.Request) {
	var in addends
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1024))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&in); err != nil || in.A == nil || in.B == nil {
		http.Error(w, "a and b must be integers", http.StatusUnprocessableEntity)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]int64{"sum": *in.A + *in.B})
}

func requestID(r *http.Request) string {
	if id := r.Header.Get("X-Request-Id"); id != "" {
		return id
	}
	var id [16]byte
	rand.Read(id[:])
	return hex.EncodeToString(id[:])
}

func logged(next http.Handler) http.Handler {
	lines := log.New(os.Stdout, "", 0)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		id := requestID(r)
		w.Header().Set("X-Request-Id", id)
		recorded := &recorder{w, http.StatusOK}
		next.ServeHTTP(recorded, r)
		lines.Printf(
			`{"time":%q,"level":"info","service":"api","event":"request","request_id":%q,"method":%q,"path":%q,"status":%d,"duration_ms":%.3f,"remote_addr":%q}`,
			time.Now().UTC().Format(time.RFC3339Nano), id, r.Method, r.URL.Path, recorded.status,
			float64(time.Since(began).Microseconds())/1000, r.RemoteAddr,
		)
	})
}

func main() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", healthz)
	mux.HandleFunc("POST /sum", sum)
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), logged(mux)))
}
