package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync/atomic"
)

var groups = map[string]tls.CurveID{
	"X25519":         tls.X25519,
	"X25519MLKEM768": tls.X25519MLKEM768,
	"secp256r1":      tls.CurveP256,
	"secp384r1":      tls.CurveP384,
	"secp521r1":      tls.CurveP521,
	// Go has had these, and names for them, since 1.26.
	"SecP256r1MLKEM768":  0x11eb,
	"SecP384r1MLKEM1024": 0x11ed,
}

// common is what a client's and a server's configuration share.
func common(o options) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS13, NextProtos: o.list("--alpn")}
	if versions := o.list("--versions"); versions != nil {
		if !slices.Contains(versions, "1.2") {
			config.MinVersion = tls.VersionTLS13
		}
		if !slices.Contains(versions, "1.3") {
			config.MaxVersion = tls.VersionTLS12
		}
	}
	for _, name := range o.list("--groups") {
		group, known := groups[name]
		if !known {
			return nil, fmt.Errorf("no group %s", name)
		}
		config.CurvePreferences = append(config.CurvePreferences, group)
	}
	return config, nil
}

func pool(path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	found := x509.NewCertPool()
	if !found.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("no certificate in %s", path)
	}
	return found, nil
}

// watched tells whether the transport has ended: crypto/tls takes an end of TCP between two records for a proper end.
type watched struct {
	net.Conn
	ended atomic.Bool
}

func (w *watched) Read(into []byte) (int, error) {
	n, err := w.Conn.Read(into)
	if errors.Is(err, io.EOF) {
		w.ended.Store(true)
	}
	return n, err
}

// properEnd makes sure that what Read gave is the end, and that it came as a close_notify.
func properEnd(conn *tls.Conn, transport *watched) error {
	n, err := conn.Read(make([]byte, 40))
	if n > 0 {
		return fmt.Errorf("%d bytes came in place of the end", n)
	}
	if !errors.Is(err, io.EOF) {
		return err
	}
	if transport.ended.Load() {
		return errors.New("the transport ended without close_notify")
	}
	return nil
}

func sayHandshake(job int, conn *tls.Conn, more answer) {
	state := conn.ConnectionState()
	a := answer{
		"job":     job,
		"event":   "handshake",
		"version": map[uint16]string{tls.VersionTLS12: "TLSv1.2", tls.VersionTLS13: "TLSv1.3"}[state.Version],
		"resumed": state.DidResume,
		"peer":    nil,
		"alpn":    nil,
		"group":   nil, // Go 1.25 and later would tell; 1.24 is enough here.
	}
	if len(state.PeerCertificates) > 0 {
		a["peer"] = hex.EncodeToString(state.PeerCertificates[0].Raw)
	}
	if state.NegotiatedProtocol != "" {
		a["alpn"] = state.NegotiatedProtocol
	}
	for name, value := range more {
		a[name] = value
	}
	say(a)
}
