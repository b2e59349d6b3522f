import java.io.BufferedInputStream;
import java.io.BufferedReader;
import java.io.EOFException;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.PrintStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.AlgorithmConstraints;
import java.security.AlgorithmParameters;
import java.security.CryptoPrimitive;
import java.security.GeneralSecurityException;
import java.security.Key;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.Principal;
import java.security.PrivateKey;
import java.security.cert.Certificate;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.StringJoiner;
import java.util.concurrent.FutureTask;
import javax.net.ssl.KeyManager;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.SSLPeerUnverifiedException;
import javax.net.ssl.SSLServerSocket;
import javax.net.ssl.SSLSession;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManager;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509ExtendedKeyManager;
import javax.net.ssl.X509ExtendedTrustManager;
import javax.security.auth.x500.X500Principal;

/**
 * The peer "Java JSSE" of the interop matrix: reads jobs from stdin, prints what happened as JSON lines. ../README.md
 * has the language that it speaks.
 *
 * <p>Java's own key manager chooses the certificate. What is wrapped around it only notes by which CA names it was
 * asked.
 */
public final class Peer {
  private static final int MILLISECONDS = 60_000;
  private static final int PIECE = 1 << 16;
  private static final int CYCLE = 251; // Byte i of an echo is i % 251.
  private static final char[] PASSWORD = "changeit".toCharArray();
  private static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);

  private Peer() {}

  public static void main(String[] arguments) throws IOException {
    // Read when JSSE's classes are loaded. Without it an end of TCP counts as a proper end.
    System.setProperty("com.sun.net.ssl.requireCloseNotify", "true");
    OUT.println("{\"event\": \"ready\", \"version\": " + quoted("JDK " + System.getProperty("java.version")) + "}");
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      Job job = new Job(line.split("\t"));
      Thread thread = new Thread(job);
      thread.setDaemon(true);
      thread.start();
    }
  }

  /** One line of input: a listener, or a client. */
  private static final class Job implements Runnable {
    private final String number;
    private final boolean server;
    private final Options options;
    private volatile List<String> authorities;

    Job(String[] fields) {
      number = fields[0];
      server = fields[1].equals("server");
      options = new Options(Arrays.asList(fields).subList(2, fields.length));
    }

    @Override
    public void run() {
      try {
        if (server) {
          serve();
        } else {
          connect();
        }
      } catch (Exception error) {
        sayEnd(error);
      }
    }

    // -- The server -------------------------------------------------------------------------------------------------

    private void serve() throws Exception {
      try (SSLServerSocket listening =
          (SSLServerSocket) context("--client-ca").getServerSocketFactory().createServerSocket()) {
        listening.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
        SSLParameters parameters = restricted(listening.getSSLParameters());
        switch (options.one("--client-auth", "none")) {
          case "required" -> parameters.setNeedClientAuth(true);
          case "optional" -> parameters.setWantClientAuth(true);
          default -> { }
        }
        listening.setSSLParameters(parameters);
        say("listening", "\"port\": " + listening.getLocalPort());
        for (int left = options.connections(); left > 0; left--) {
          SSLSocket socket = (SSLSocket) listening.accept();
          sayEnd(outcome(() -> answer(socket)));
        }
      }
    }

    private void answer(SSLSocket socket) throws IOException {
      try (socket) {
        shake(socket);
        boolean closed = obey(socket);
        socket.shutdownOutput();
        if (!closed) {
          expectEnd(socket.getInputStream());
        }
      }
    }

    /** Do what the client asks for, until it says bye or closes; whether it has closed. */
    private boolean obey(SSLSocket socket) throws IOException {
      InputStream in = new BufferedInputStream(socket.getInputStream(), PIECE);
      OutputStream out = socket.getOutputStream();
      for (String line = line(in); line != null; line = line(in)) {
        if (line.equals("bye")) {
          return false;
        } else if (line.equals("update")) {
          rekey(socket);
          out.write("ok\n".getBytes(StandardCharsets.US_ASCII));
        } else if (line.startsWith("echo ")) {
          byte[] buffer = new byte[PIECE];
          for (long left = Long.parseLong(line.substring(5)); left > 0; ) {
            int count = in.read(buffer, 0, (int) Math.min(buffer.length, left));
            if (count < 0) {
              throw new EOFException("the client closed " + left + " bytes too early");
            }
            out.write(buffer, 0, count);
            left -= count;
          }
        } else {
          throw new IOException("unknown command: " + line);
        }
      }
      return true;
    }

    // -- The client -------------------------------------------------------------------------------------------------

    private void connect() throws Exception {
      SSLContext context = context("--ca");
      for (int left = options.connections(); left > 0; left--) {
        authorities = null;
        sayEnd(outcome(() -> visit(context)));
      }
    }

    private void visit(SSLContext context) throws Exception {
      int port = Integer.parseInt(options.one("--port", ""));
      // JSSE finds a session by this host and this port.
      String host = options.one("--server-name", "localhost");
      try (Socket raw = new Socket(InetAddress.getLoopbackAddress(), port);
          SSLSocket socket = (SSLSocket) context.getSocketFactory().createSocket(raw, host, port, true)) {
        SSLParameters parameters = restricted(socket.getSSLParameters());
        parameters.setEndpointIdentificationAlgorithm("HTTPS");
        socket.setSSLParameters(parameters);
        shake(socket);
        InputStream in = new BufferedInputStream(socket.getInputStream(), PIECE);
        for (String action : options.all("--do", List.of("echo:5", "bye"))) {
          act(socket, in, action);
        }
      }
    }

    private void act(SSLSocket socket, InputStream in, String action) throws Exception {
      OutputStream out = socket.getOutputStream();
      if (action.startsWith("echo:")) {
        echo(socket, in, Long.parseLong(action.substring(5)));
        return;
      }
      switch (action) {
        case "update" -> {
          out.write("update\n".getBytes(StandardCharsets.US_ASCII));
          String answer = line(in);
          if (!"ok".equals(answer)) {
            throw new IOException("update was answered with " + answer);
          }
        }
        case "rekey" -> rekey(socket);
        case "bye" -> {
          out.write("bye\n".getBytes(StandardCharsets.US_ASCII));
          expectEnd(in);
        }
        case "close" -> {
          socket.shutdownOutput();
          expectEnd(in);
        }
        default -> throw new IOException("unknown action: " + action);
      }
    }

    /** Have the server echo so many bytes, which are sent and received at once. */
    private static void echo(SSLSocket socket, InputStream in, long size) throws Exception {
      byte[] pattern = new byte[PIECE / CYCLE * CYCLE];
      for (int index = 0; index < pattern.length; index++) {
        pattern[index] = (byte) (index % CYCLE);
      }
      FutureTask<Void> sending =
          new FutureTask<>(
              () -> {
                OutputStream out = socket.getOutputStream();
                out.write(("echo " + size + "\n").getBytes(StandardCharsets.US_ASCII));
                for (long left = size; left > 0; left -= pattern.length) {
                  out.write(pattern, 0, (int) Math.min(left, pattern.length));
                }
                return null;
              });
      new Thread(sending).start();
      byte[] buffer = new byte[pattern.length];
      for (long left = size; left > 0; ) {
        int wanted = (int) Math.min(left, buffer.length);
        int count = in.readNBytes(buffer, 0, wanted);
        if (count < wanted) {
          throw new EOFException("the server closed " + (left - count) + " bytes too early");
        }
        if (!Arrays.equals(buffer, 0, count, pattern, 0, count)) {
          throw new IOException("the echo is not what was sent");
        }
        left -= count;
      }
      sending.get();
    }

    // -- Both -------------------------------------------------------------------------------------------------------

    private void shake(SSLSocket socket) throws IOException {
      long begin = System.currentTimeMillis();
      socket.setSoTimeout(MILLISECONDS);
      socket.startHandshake();
      SSLSession session = socket.getSession();
      String peer = null;
      try {
        peer = hex(session.getPeerCertificates());
      } catch (SSLPeerUnverifiedException none) {
        // A client without a certificate.
      }
      String protocol = socket.getApplicationProtocol();
      List<String> names = authorities;
      say(
          "handshake",
          "\"version\": " + quoted(session.getProtocol()),
          // JSSE does not say it; but a session that is older than its connection is of another one.
          "\"resumed\": " + (session.getCreationTime() < begin),
          "\"peer\": " + quoted(peer),
          "\"alpn\": " + quoted(protocol == null || protocol.isEmpty() ? null : protocol),
          "\"authorities\": " + (names == null ? "null" : "[" + String.join(", ", names) + "]"),
          "\"sent\": " + quoted(server ? null : hex(session.getLocalCertificates())));
    }

    private SSLContext context(String trust) throws Exception {
      String algorithm = System.getProperty("peer.keyManager", KeyManagerFactory.getDefaultAlgorithm());
      KeyManagerFactory keys = KeyManagerFactory.getInstance(algorithm);
      keys.init(keyStore(options.all("--cert", List.of()), options.all("--key", List.of())), PASSWORD);
      TrustManagerFactory trusted = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
      trusted.init(trustStore(options.one(trust, null)));
      KeyManager[] keyManagers = keys.getKeyManagers();
      keyManagers[0] = new Noting((X509ExtendedKeyManager) keyManagers[0]);
      TrustManager[] trustManagers = trusted.getTrustManagers();
      if (options.has("--no-hints")) {
        trustManagers[0] = new WithoutNames((X509ExtendedTrustManager) trustManagers[0]);
      }
      SSLContext context = SSLContext.getInstance("TLS");
      context.init(keyManagers, trustManagers, null);
      return context;
    }

    private SSLParameters restricted(SSLParameters parameters) {
      String[] versions = options.one("--versions", "1.2,1.3").split(",");
      parameters.setProtocols(Arrays.stream(versions).map(one -> "TLSv" + one).toArray(String[]::new));
      if (options.has("--alpn")) {
        parameters.setApplicationProtocols(options.one("--alpn", "").split(","));
      }
      if (options.has("--groups")) {
        parameters.setAlgorithmConstraints(new OnlyGroups(options.one("--groups", "").toLowerCase().split(",")));
      }
      return parameters;
    }

    private void sayEnd(Exception error) {
      String words = null;
      if (error != null) {
        StringJoiner texts = new StringJoiner("; caused by ");
        for (Throwable one = error; one != null; one = one.getCause()) {
          texts.add(one.getClass().getSimpleName() + ": " + one.getMessage());
        }
        words = texts.toString();
      }
      say("end", "\"error\": " + quoted(words));
    }

    private void say(String event, String... members) {
      OUT.println("{\"job\": " + number + ", \"event\": \"" + event + "\", " + String.join(", ", members) + "}");
    }

    /** Java's key manager, and what it was asked by. */
    private final class Noting extends X509ExtendedKeyManager {
      private final X509ExtendedKeyManager inner;

      Noting(X509ExtendedKeyManager inner) {
        this.inner = inner;
      }

      @Override
      public String chooseClientAlias(String[] keyTypes, Principal[] issuers, Socket socket) {
        List<String> names = new ArrayList<>();
        for (Principal issuer : issuers == null ? new Principal[0] : issuers) {
          names.add(quoted(HexFormat.of().formatHex(((X500Principal) issuer).getEncoded())));
        }
        authorities = names;
        return inner.chooseClientAlias(keyTypes, issuers, socket);
      }

      @Override
      public String chooseServerAlias(String keyType, Principal[] issuers, Socket socket) {
        return inner.chooseServerAlias(keyType, issuers, socket);
      }

      @Override
      public String chooseEngineClientAlias(String[] keyTypes, Principal[] issuers, SSLEngine engine) {
        return inner.chooseEngineClientAlias(keyTypes, issuers, engine);
      }

      @Override
      public String chooseEngineServerAlias(String keyType, Principal[] issuers, SSLEngine engine) {
        return inner.chooseEngineServerAlias(keyType, issuers, engine);
      }

      @Override
      public String[] getClientAliases(String keyType, Principal[] issuers) {
        return inner.getClientAliases(keyType, issuers);
      }

      @Override
      public String[] getServerAliases(String keyType, Principal[] issuers) {
        return inner.getServerAliases(keyType, issuers);
      }

      @Override
      public X509Certificate[] getCertificateChain(String alias) {
        return inner.getCertificateChain(alias);
      }

      @Override
      public PrivateKey getPrivateKey(String alias) {
        return inner.getPrivateKey(alias);
      }
    }
  }

  /** Trusts the same CAs, but names none of them to clients. */
  private static final class WithoutNames extends X509ExtendedTrustManager {
    private final X509ExtendedTrustManager inner;

    WithoutNames(X509ExtendedTrustManager inner) {
      this.inner = inner;
    }

    @Override
    public X509Certificate[] getAcceptedIssuers() {
      return new X509Certificate[0];
    }

    @Override
    public void checkClientTrusted(X509Certificate[] chain, String type) throws CertificateException {
      inner.checkClientTrusted(chain, type);
    }

    @Override
    public void checkClientTrusted(X509Certificate[] chain, String type, Socket socket) throws CertificateException {
      inner.checkClientTrusted(chain, type, socket);
    }

    @Override
    public void checkClientTrusted(X509Certificate[] chain, String type, SSLEngine engine) throws CertificateException {
      inner.checkClientTrusted(chain, type, engine);
    }

    @Override
    public void checkServerTrusted(X509Certificate[] chain, String type) throws CertificateException {
      inner.checkServerTrusted(chain, type);
    }

    @Override
    public void checkServerTrusted(X509Certificate[] chain, String type, Socket socket) throws CertificateException {
      inner.checkServerTrusted(chain, type, socket);
    }

    @Override
    public void checkServerTrusted(X509Certificate[] chain, String type, SSLEngine engine) throws CertificateException {
      inner.checkServerTrusted(chain, type, engine);
    }
  }

  /**
   * Permits some of the groups. The system property jdk.tls.namedGroups is read once for the whole process, and
   * SSLParameters.setNamedGroups came with Java 20. A curve that is not permitted is out of the signature schemes too,
   * so that of the tests' certificates always is.
   */
  private static final class OnlyGroups implements AlgorithmConstraints {
    private static final Set<String> ALL =
        Set.of(
            "x25519", "x448", "secp256r1", "secp384r1", "secp521r1",
            "ffdhe2048", "ffdhe3072", "ffdhe4096", "ffdhe6144", "ffdhe8192");
    private final Set<String> permitted;

    OnlyGroups(String[] permitted) {
      this.permitted = Set.of(permitted);
    }

    @Override
    public boolean permits(Set<CryptoPrimitive> primitives, String algorithm, AlgorithmParameters parameters) {
      return !primitives.contains(CryptoPrimitive.KEY_AGREEMENT)
          || !ALL.contains(algorithm)
          || permitted.contains(algorithm)
          || algorithm.equals("secp256r1");
    }

    @Override
    public boolean permits(Set<CryptoPrimitive> primitives, Key key) {
      return true;
    }

    @Override
    public boolean permits(Set<CryptoPrimitive> primitives, String algorithm, Key key, AlgorithmParameters parameters) {
      return true;
    }
  }

  // -- Helpers --------------------------------------------------------------------------------------------------------

  private interface Work {
    void run() throws Exception;
  }

  private static Exception outcome(Work work) {
    try {
      work.run();
      return null;
    } catch (Exception error) {
      return error;
    }
  }

  /** On an established connection of TLS 1.3, this is how JSSE sends a KeyUpdate (and asks for one). */
  private static void rekey(SSLSocket socket) throws IOException {
    if (socket.getSession().getProtocol().equals("TLSv1.3")) {
      socket.startHandshake();
    }
  }

  private static void expectEnd(InputStream in) throws IOException {
    if (in.read() >= 0) {
      throw new IOException("data came in place of the end");
    }
  }

  /** The next line without its end, or null when the peer has closed. */
  private static String line(InputStream in) throws IOException {
    StringBuilder text = new StringBuilder();
    for (int next = in.read(); next != '\n'; next = in.read()) {
      if (next < 0) {
        return null;
      }
      text.append((char) next);
    }
    return text.toString();
  }

  private static KeyStore trustStore(String file) throws Exception {
    KeyStore store = emptyStore();
    if (file != null) {
      for (Certificate certificate : certificates(file)) {
        store.setCertificateEntry("ca-" + store.size(), certificate);
      }
    }
    return store;
  }

  private static KeyStore keyStore(List<String> chains, List<String> keys) throws Exception {
    KeyStore store = emptyStore();
    for (int index = 0; index < chains.size(); index++) {
      Certificate[] chain = certificates(chains.get(index)).toArray(new Certificate[0]);
      String base64 = Files.readString(Path.of(keys.get(index))).replaceAll("-----[A-Z ]+-----|\\s", "");
      PKCS8EncodedKeySpec key = new PKCS8EncodedKeySpec(Base64.getDecoder().decode(base64));
      String algorithm = chain[0].getPublicKey().getAlgorithm();
      store.setKeyEntry("identity-" + index, KeyFactory.getInstance(algorithm).generatePrivate(key), PASSWORD, chain);
    }
    return store;
  }

  private static KeyStore emptyStore() throws GeneralSecurityException, IOException {
    KeyStore store = KeyStore.getInstance("JKS"); // Unlike PKCS12 it costs no 10,000 rounds of hashing a key.
    store.load(null, PASSWORD);
    return store;
  }

  private static List<Certificate> certificates(String file) throws Exception {
    try (InputStream in = new BufferedInputStream(new FileInputStream(file))) {
      return new ArrayList<>(CertificateFactory.getInstance("X.509").generateCertificates(in));
    }
  }

  private static String hex(Certificate[] chain) {
    try {
      return chain == null ? null : HexFormat.of().formatHex(chain[0].getEncoded());
    } catch (CertificateException error) {
      throw new IllegalStateException(error);
    }
  }

  private static String quoted(String text) {
    if (text == null) {
      return "null";
    }
    StringBuilder quoted = new StringBuilder("\"");
    for (char one : text.toCharArray()) {
      boolean plain = one >= ' ' && one != '"' && one != '\\';
      quoted.append(plain ? String.valueOf(one) : String.format("\\u%04x", (int) one));
    }
    return quoted.append('"').toString();
  }

  /** The options of a job, in their order. */
  private static final class Options {
    private final Map<String, List<String>> values = new HashMap<>();

    Options(List<String> fields) {
      for (int index = 0; index < fields.size(); index++) {
        List<String> given = values.computeIfAbsent(fields.get(index), name -> new ArrayList<>());
        if (index + 1 < fields.size() && !fields.get(index + 1).startsWith("--")) {
          given.add(fields.get(++index));
        }
      }
    }

    boolean has(String name) {
      return values.containsKey(name);
    }

    String one(String name, String otherwise) {
      return has(name) ? values.get(name).get(0) : otherwise;
    }

    List<String> all(String name, List<String> otherwise) {
      return values.getOrDefault(name, otherwise);
    }

    int connections() {
      return Integer.parseInt(one("--connections", "1"));
    }
  }
}
