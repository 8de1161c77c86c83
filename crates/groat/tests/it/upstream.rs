//! An API behind the gate that speaks TLS.

use std::path::Path;
use std::process::Command;

use crate::processes::{Running, groat, http};
use crate::world::PAY_TO;

/// An HTTPS server for `localhost` with a certificate that nobody but the test trusts.
fn https(folder: &Path) -> Running {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args(["-keyout", "key.pem", "-out", "cert.pem", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let server = r#"
import http.server, json, ssl
class Api(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"over TLS"
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
server = http.server.HTTPServer(("127.0.0.1", 0), Api)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("cert.pem", "key.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
print(json.dumps({"port": server.server_port}), flush=True)
server.serve_forever()
"#;
    Running::start(Command::new("python3").args(["-c", server]).current_dir(folder))
}

#[test]
fn an_api_over_tls_is_reached_when_its_certificate_is_trusted() {
    let data = tempfile::tempdir().unwrap();
    let api = https(data.path());
    let upstream = format!("https://localhost:{}", api.ready["port"]);
    let gate = |trusted: bool| {
        let mut command = groat(data.path());
        command.args(["gate", "--json", "--listen", "127.0.0.1:0", "--upstream", &upstream]);
        command.args([
            "--pay-to",
            PAY_TO,
            "--price",
            "GET /paid=$0.01",
            "--facilitator",
            "http://127.0.0.1:1",
        ]);
        if trusted {
            command.env("SSL_CERT_FILE", data.path().join("cert.pem"));
        }
        Running::start(&mut command)
    };
    let trusting = gate(true);
    let free = format!("{}/free", trusting.said("gate"));
    assert_eq!(http(&free, &[]), (200, "over TLS".to_owned()));
    assert_eq!(http(&format!("{}/paid", trusting.said("gate")), &[]).0, 402);
    trusting.kill();
    let doubting = gate(false);
    let (status, body) = http(&format!("{}/free", doubting.said("gate")), &[]);
    assert_eq!(status, 502);
    assert!(body.contains("upstream_unavailable"), "{body}");
}
