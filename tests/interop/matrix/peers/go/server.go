package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
)

func server(job int, o options) error {
	config, err := serverConfig(o)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer listener.Close()
	say(answer{"job": job, "event": "listening", "port": listener.Addr().(*net.TCPAddr).Port})
	for range o.connections() {
		raw, err := listener.Accept()
		if err != nil {
			return err
		}
		sayEnd(job, serve(job, raw, config))
	}
	return nil
}

func serverConfig(o options) (*tls.Config, error) {
	config, err := common(o)
	if err != nil {
		return nil, err
	}
	certificate, err := tls.LoadX509KeyPair(o.one("--cert", ""), o.one("--key", ""))
	if err != nil {
		return nil, err
	}
	config.Certificates = []tls.Certificate{certificate}
	mode := o.one("--client-auth", "none")
	if mode == "none" {
		return config, nil
	}
	roots, err := pool(o.one("--client-ca", ""))
	if err != nil {
		return nil, err
	}
	if o.one("--no-hints", "") == "" {
		config.ClientCAs = roots // crypto/tls names what stands here.
		config.ClientAuth = map[string]tls.ClientAuthType{
			"optional": tls.VerifyClientCertIfGiven,
			"required": tls.RequireAndVerifyClientCert,
		}[mode]
		return config, nil
	}
	config.ClientAuth = map[string]tls.ClientAuthType{
		"optional": tls.RequestClientCert,
		"required": tls.RequireAnyClientCert,
	}[mode]
	config.VerifyPeerCertificate = func(chain [][]byte, _ [][]*x509.Certificate) error {
		return verifyClient(chain, roots)
	}
	return config, nil
}

func verifyClient(chain [][]byte, roots *x509.CertPool) error {
	if len(chain) == 0 {
		return nil // RequestClientCert lets it in.
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return err
	}
	intermediates := x509.NewCertPool()
	for _, der := range chain[1:] {
		one, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		intermediates.AddCert(one)
	}
	_, err = leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: intermediates, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	return err
}

func serve(job int, raw net.Conn, config *tls.Config) error {
	transport := &watched{Conn: raw}
	defer raw.Close()
	conn := tls.Server(transport, config)
	if err := conn.Handshake(); err != nil {
		return err
	}
	sayHandshake(job, conn, nil)
	reader := bufio.NewReaderSize(conn, 1<<16)
	for {
		line, err := reader.ReadString('\n')
		if errors.Is(err, io.EOF) && line == "" {
			if transport.ended.Load() {
				return errors.New("the transport ended without close_notify")
			}
			return conn.Close()
		}
		if err != nil {
			return err
		}
		var count int64
		if n, _ := fmt.Sscanf(line, "echo %d\n", &count); n == 1 {
			_, err = io.CopyN(conn, reader, count)
		} else if line == "update\n" {
			_, err = conn.Write([]byte("ok\n"))
		} else if line == "bye\n" {
			if err := conn.CloseWrite(); err != nil {
				return err
			}
			return properEnd(conn, transport)
		} else {
			err = fmt.Errorf("unknown command %q", line)
		}
		if err != nil {
			return err
		}
	}
}
