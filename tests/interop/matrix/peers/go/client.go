package main

import (
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
)

func client(job int, o options) error {
	config, err := common(o)
	if err != nil {
		return err
	}
	config.ServerName = o.one("--server-name", "localhost")
	config.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	if config.RootCAs, err = pool(o.one("--ca", "")); err != nil {
		return err
	}
	var certificates []tls.Certificate
	for i, path := range o["--cert"] {
		certificate, err := tls.LoadX509KeyPair(path, o["--key"][i])
		if err != nil {
			return err
		}
		certificates = append(certificates, certificate)
	}
	actions := o["--do"]
	if actions == nil {
		actions = []string{"echo:5", "bye"}
	}
	for range o.connections() {
		sayEnd(job, visit(job, o.one("--port", ""), config, certificates, actions))
	}
	return nil
}

func visit(job int, port string, shared *tls.Config, certificates []tls.Certificate, actions []string) error {
	raw, err := net.Dial("tcp", "127.0.0.1:"+port)
	if err != nil {
		return err
	}
	defer raw.Close()
	seen := answer{"authorities": nil, "sent": nil}
	config := shared.Clone()
	config.GetClientCertificate = func(request *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		names := []string{}
		for _, name := range request.AcceptableCAs {
			names = append(names, hex.EncodeToString(name))
		}
		seen["authorities"] = names
		for i := range certificates {
			if request.SupportsCertificate(&certificates[i]) == nil {
				seen["sent"] = hex.EncodeToString(certificates[i].Certificate[0])
				return &certificates[i], nil
			}
		}
		return &tls.Certificate{}, nil
	}
	transport := &watched{Conn: raw}
	conn := tls.Client(transport, config)
	if err := conn.Handshake(); err != nil {
		return err
	}
	sayHandshake(job, conn, seen)
	for _, action := range actions {
		if err := act(conn, transport, action); err != nil {
			return err
		}
	}
	return nil
}

func act(conn *tls.Conn, transport *watched, action string) error {
	var count int64
	switch {
	case strings.HasPrefix(action, "echo:"):
		if _, err := fmt.Sscanf(action, "echo:%d", &count); err != nil {
			return err
		}
		return echo(conn, count)
	case action == "update":
		if _, err := conn.Write([]byte("update\n")); err != nil {
			return err
		}
		reply := make([]byte, 3)
		if _, err := io.ReadFull(conn, reply); err != nil {
			return err
		}
		if string(reply) != "ok\n" {
			return fmt.Errorf("update was answered with %q", reply)
		}
		return nil
	case action == "bye":
		if _, err := conn.Write([]byte("bye\n")); err != nil {
			return err
		}
		if err := properEnd(conn, transport); err != nil {
			return err
		}
		return conn.Close()
	case action == "close":
		if err := conn.CloseWrite(); err != nil {
			return err
		}
		return properEnd(conn, transport)
	}
	return fmt.Errorf("crypto/tls cannot %s", action)
}

// pattern is what an echo is made of: byte i is i % 251.
type pattern struct{ at int }

var cycles = func() []byte {
	found := make([]byte, 251*262)
	for i := range found {
		found[i] = byte(i % 251)
	}
	return found
}()

func (p *pattern) Read(into []byte) (int, error) {
	n := copy(into, cycles[p.at:])
	p.at = (p.at + n) % 251
	return n, nil
}

func echo(conn *tls.Conn, count int64) error {
	sent := make(chan error, 1)
	go func() {
		if _, err := fmt.Fprintf(conn, "echo %d\n", count); err != nil {
			sent <- err
			return
		}
		_, err := io.CopyN(conn, &pattern{}, count)
		sent <- err
	}()
	if err := compare(io.LimitReader(conn, count), count); err != nil {
		return err
	}
	return <-sent
}

func compare(reader io.Reader, count int64) error {
	buffer := make([]byte, 1<<16)
	expected := make([]byte, 1<<16)
	source := &pattern{}
	for received := int64(0); received < count; {
		n, err := reader.Read(buffer)
		io.ReadFull(source, expected[:n])
		if string(buffer[:n]) != string(expected[:n]) {
			return fmt.Errorf("the echo differs behind byte %d", received)
		}
		received += int64(n)
		if errors.Is(err, io.EOF) && received < count {
			return fmt.Errorf("the end came after %d of %d bytes", received, count)
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
	}
	return nil
}
