//! The vectors of RFC 2617 §3.5 and RFC 7616 §3.9.1, and what clients send.

use super::*;

const SHA_256: &str = "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", uri=\"/dir/index.html\", algorithm=SHA-256, \
    nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", nc=00000001, cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth, \
    response=\"753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"";

fn get() -> Method {
    Method::Other("GET".to_owned())
}

fn parse(value: &str) -> Credentials {
    Credentials::parse(value.as_bytes()).unwrap().unwrap()
}

#[test]
fn rfc_7616_3_9_1_sha_256() {
    let ha1 = ha1(Algorithm::Sha256, "Mufasa", "http-auth@example.org", "Circle of Life");
    let credentials = parse(SHA_256);
    assert_eq!(credentials.algorithm, Algorithm::Sha256);
    assert!(credentials.verify(&ha1, &get()));
    assert!(!credentials.verify(&ha1, &Method::Register));
}

#[test]
fn rfc_7616_3_9_1_md5() {
    let ha1 = ha1(Algorithm::Md5, "Mufasa", "http-auth@example.org", "Circle of Life");
    let md5 = SHA_256.replace("SHA-256", "MD5").replace(
        "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
        "8ca523f5e9506fed4657c9700eebdbec",
    );
    assert!(parse(&md5).verify(&ha1, &get()));
}

#[test]
fn rfc_2617_3_5_without_algorithm() {
    let ha1 = ha1(Algorithm::Md5, "Mufasa", "testrealm@host.com", "Circle Of Life");
    assert_eq!(ha1, "939e7578ed9e3c518a452acee763bce9");
    let credentials = parse(
        "Digest username=\"Mufasa\", realm=\"testrealm@host.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", uri=\"/dir/index.html\", \
         qop=auth, nc=00000001, cnonce=\"0a4f113b\", response=\"6629fae49393a05397450978507c4ef1\", opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"",
    );
    assert_eq!(credentials.auth, Some(("0a4f113b".to_owned(), "00000001".to_owned())));
    assert!(credentials.verify(&ha1, &get()));
}

#[test]
fn rfc_2069_without_qop() {
    let ha1 = ha1(Algorithm::Md5, "Mufasa", "testrealm@host.com", "CircleOfLife");
    let credentials = parse(
        "Digest username=\"Mufasa\", realm=\"testrealm@host.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", uri=\"/dir/index.html\", \
         response=\"1949323746fe6a43ef61f9606e7febea\", opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"",
    );
    assert_eq!(credentials.auth, None);
    assert!(credentials.verify(&ha1, &get()));
}

#[test]
fn a_response_that_differs_in_one_digit_or_in_length_does_not_fit() {
    let ha1 = ha1(Algorithm::Sha256, "Mufasa", "http-auth@example.org", "Circle of Life");
    for (old, new) in [
        ("753927fa", "753927fb"),
        ("753927fa", ""),
        ("753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1", ""),
    ] {
        assert!(!parse(&SHA_256.replace(old, new)).verify(&ha1, &get()));
    }
    assert!(!parse(SHA_256).verify("", &get()));
}

#[test]
fn quotes_case_and_blanks_are_taken_as_clients_write_them() {
    let strict = parse(SHA_256);
    let loose = SHA_256
        .replace("Digest ", "DIGEST   ")
        .replace("nc=00000001", "NC = \"00000001\"")
        .replace("algorithm=SHA-256", "Algorithm=\"sha-256\"")
        .replace("qop=auth", "qop=\"auth\"")
        .replace("uri=\"/dir/index.html\"", "uri=/dir/index.html")
        .replace(", ", " ,")
        .replace("753927fa", "753927FA");
    assert_eq!(parse(&loose), strict);
}

#[test]
fn escapes_are_taken_off_quoted_values() {
    let credentials = parse(&SHA_256.replace("\"Mufasa\"", r#""Mu\"fa\\sa, x=y""#));
    assert_eq!(credentials.username, r#"Mu"fa\sa, x=y"#);
}

#[test]
fn what_is_not_ours_is_nothing() {
    for value in [
        "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
        "Bearer x",
        &SHA_256.replace("SHA-256", "SHA-512-256"),
        &SHA_256.replace("SHA-256", "MD5-sess"),
    ] {
        assert_eq!(Credentials::parse(value.as_bytes()), Ok(None));
    }
}

#[test]
fn malformed_credentials_are_an_error() {
    for value in [
        "",
        "Digest",
        "Digest ",
        "Digest x",
        "Digest x=",
        "Digest username=\"a",
        "Digest username=\"a\" realm=\"b\"",
        "Digest ,",
    ] {
        assert!(Credentials::parse(value.as_bytes()).is_err(), "{value}");
    }
    for (old, new) in [
        ("username=\"Mufasa\", ", ""),
        ("nonce=", "nonces="),
        ("cnonce=", "cnonces="),
        ("response=", "responses="),
        ("nc=00000001", "nc=1"),
        ("nc=00000001", "nc=0000000g"),
        ("qop=auth", "qop=auth-int"),
        ("opaque=", "realm="),
    ] {
        assert!(Credentials::parse(SHA_256.replace(old, new).as_bytes()).is_err(), "{new}");
    }
    let many = format!("{SHA_256}{}", (0..MAX_PARAMS).map(|n| format!(", x{n}=1")).collect::<String>());
    assert!(Credentials::parse(many.as_bytes()).is_err());
}

#[test]
fn a_challenge_names_all_a_client_needs() {
    assert_eq!(
        challenge("switch.local", "n1", Algorithm::Md5, false),
        "Digest realm=\"switch.local\", nonce=\"n1\", algorithm=MD5, qop=\"auth\""
    );
    assert_eq!(
        challenge("a\"b\\\r\n", "n1", Algorithm::Sha256, true),
        "Digest realm=\"a\\\"b\\\\\", nonce=\"n1\", algorithm=SHA-256, qop=\"auth\", stale=true"
    );
}

#[test]
fn what_a_client_answers_is_accepted() {
    for algorithm in [Algorithm::Md5, Algorithm::Sha256] {
        let ha1 = ha1(algorithm, "501", "switch.local", "secret");
        for auth in [None, Some(("c", "00000001"))] {
            let credentials = Credentials {
                username: "501".to_owned(),
                realm: "switch.local".to_owned(),
                nonce: "n".to_owned(),
                uri: "sip:switch.local".to_owned(),
                response: response(algorithm, &ha1, "n", auth, &Method::Register, "sip:switch.local"),
                algorithm,
                auth: auth.map(|(cnonce, nc)| (cnonce.to_owned(), nc.to_owned())),
            };
            assert!(credentials.verify(&ha1, &Method::Register));
        }
    }
}

#[test]
fn a_response_is_not_written_into_logs() {
    assert!(!format!("{:?}", parse(SHA_256)).contains("753927fa"));
}
