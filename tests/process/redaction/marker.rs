//! What is planted: one text for each kind of secret, unlike anything Vicar writes by itself.

/// The secret of every client: of the characters that encodings change.
pub(crate) const SECRET: &str = "Sx7Qp%2vKd+9Lw:4Tz&8=Rn\"3bYm\\6cHf $5'Gj\u{e9}1Vu";

/// A secret of plain characters, for places where the others would be another mistake.
pub(crate) const PLAIN_SECRET: &str = "Xw3Kp8Zt5Nf1Qm7Lb2Rv9Jd4";

/// Issued by the authority, good and used.
pub(crate) const TOKEN: &str = "Wq8Zr5Jx2.Vb7Nc4Mg9-Hd6Ks3Lf1_Pt0Ya~Eu5Ro8";

/// Issued by the authority in answers that are unusable.
pub(crate) const BAD_TOKEN: &str = "Bn4Xk9Tq2Lz7Wd5Rf8Hc3Vm6Ps1Jy0Ga";

/// In the authority's own words.
pub(crate) const DESCRIPTION: &str = "Oe6Ui3Ao9Yt2Kn5Lr8Ds1Fg4Hj7Zx0Cv";

/// In the caller's Authorization.
pub(crate) const CREDENTIAL: &str = "Cz4Mv8Qy1Ht6Bk3Wj9Xn5Rd2Fp7Ls0Tg";

/// In the caller's Proxy-Authorization.
pub(crate) const PROXY_CREDENTIAL: &str = "Pd9Ly3Gw7Vk1Zs5Nm8Jq4Xr2Hb6Tc0Fw";

/// In the caller's Cookie.
pub(crate) const COOKIE: &str = "Ck5Rt8Jn2Xv6Qz9Lw3Mg7Bd1Ys4Hp0Kf";

/// In another field that often carries a key.
pub(crate) const API_KEY: &str = "Ky2Fv7Ws4Zj9Qn1Tb6Lx3Rm8Dg5Hc0Pk";

/// In the query of every target.
pub(crate) const QUERY: &str = "Qs6Nb1Xh8Kz3Vt9Jw5Lr2Yd7Mc4Gf0Pq";

/// In the user information of a target in absolute form.
pub(crate) const USERINFO: &str = "Us1Wk7Dz4Rv9Hn3Qt6Xj8Lb2Mf5Yg0Cp";

/// In request bodies.
pub(crate) const REQUEST_BODY: &str = "Rb3Zx6Jv9Wn2Kt5Qd8Lh1Ys4Mg7Fc0Pr";

/// In bytes that are no request.
pub(crate) const GARBAGE: &str = "Gb8Tn3Vx6Lk1Zw9Jq4Rd7Hs2Yf5Mc0Pj";

/// In upstream bodies, heads and last words.
pub(crate) const UPSTREAM: &str = "Up4Kz9Wv2Xn7Jt1Qd6Lr3Hs8Yb5Mg0Fc";

/// In the password of a proxy's address.
pub(crate) const PROXY_PASSWORD: &str = "Pp7Vz2Jk5Wx8Nt1Qh4Ld9Rs3Yb6Mg0Fv";

/// All of them, with the names that a failed test shows.
pub(crate) const ALL: &[(&str, &str)] = &[
    ("client secret", SECRET),
    ("plain client secret", PLAIN_SECRET),
    ("access token", TOKEN),
    ("unusable access token", BAD_TOKEN),
    ("authority's description", DESCRIPTION),
    ("caller's Authorization", CREDENTIAL),
    ("caller's Proxy-Authorization", PROXY_CREDENTIAL),
    ("caller's Cookie", COOKIE),
    ("caller's key", API_KEY),
    ("query", QUERY),
    ("user information", USERINFO),
    ("request body", REQUEST_BODY),
    ("garbage", GARBAGE),
    ("upstream's bytes", UPSTREAM),
    ("proxy's password", PROXY_PASSWORD),
];
