package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// The Update Framework's metadata as Notary has it. Written anew, so that what the server says is not verified by the
// code that made it.

// canonical is JSON of which there is one form only: that is what gets signed.
func canonical(value any) []byte {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		panic(err) // only what cannot be JSON
	}
	return bytes.TrimSuffix(text.Bytes(), []byte("\n"))
}

// recanonical is the canonical form of JSON that somebody else wrote.
func recanonical(text []byte) ([]byte, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, err
	}
	return canonical(value), nil
}

// -- keys -------------------------------------------------------------------------------------------------------

type publicKey struct {
	Type  string `json:"keytype"`
	Value struct {
		Private []byte `json:"private"`
		Public  []byte `json:"public"`
	} `json:"keyval"`
}

func newPublicKey(kind string, public []byte) publicKey {
	key := publicKey{Type: kind}
	key.Value.Public = public
	return key
}

func (k publicKey) id() string {
	value := map[string]any{"private": nil, "public": base64.StdEncoding.EncodeToString(k.Value.Public)}
	sum := sha256.Sum256(canonical(map[string]any{"keytype": k.Type, "keyval": value}))
	return hex.EncodeToString(sum[:])
}

// verify wants the signature over the message to be this key's.
func (k publicKey) verify(message, signature []byte) error {
	var public any
	var err error
	switch k.Type {
	case "ed25519":
		if len(k.Value.Public) != ed25519.PublicKeySize || !ed25519.Verify(k.Value.Public, message, signature) {
			return errors.New("the signature is not that key's")
		}
		return nil
	case "ecdsa":
		public, err = x509.ParsePKIXPublicKey(k.Value.Public)
	case "ecdsa-x509":
		block, _ := pem.Decode(k.Value.Public)
		if block == nil {
			return errors.New("no certificate")
		}
		var certificate *x509.Certificate
		if certificate, err = x509.ParseCertificate(block.Bytes); err == nil {
			public = certificate.PublicKey
		}
	default:
		return fmt.Errorf("a key of type %q", k.Type)
	}
	if err != nil {
		return err
	}
	key, ok := public.(*ecdsa.PublicKey)
	if !ok || len(signature)%2 != 0 {
		return fmt.Errorf("not an ECDSA key and signature: %T, %d bytes", public, len(signature))
	}
	half, sum := len(signature)/2, sha256.Sum256(message)
	r, s := new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:])
	if !ecdsa.Verify(key, sum[:], r, s) {
		return errors.New("the signature is not that key's")
	}
	return nil
}

// A signer has a private key.
type signer struct {
	public publicKey
	method string
	sign   func(message []byte) []byte
}

// A seed is what the same keys are made of, again.
type seed = [sha256.Size]byte

func newSeed() seed {
	var made seed
	_, _ = rand.Read(made[:]) // never fails
	return made
}

func newSigner() signer { return targetsSigner(newSeed()) }

func targetsSigner(seed seed) signer {
	private := ed25519.NewKeyFromSeed(seed[:])
	public := private.Public().(ed25519.PublicKey)
	return signer{newPublicKey("ed25519", public), "eddsa", func(message []byte) []byte { return ed25519.Sign(private, message) }}
}

func newRootSigner(gun string) signer { return rootSigner(gun, newSeed()) }

// rootSigner has a certificate for the repository: Notary takes no other key for a root. The key's name is the
// certificate's, so that is the same each time, too: its times are fixed, and its signature is made without chance.
func rootSigner(gun string, seed seed) signer {
	private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), seed[:]) // refuses one in 2³²: those beyond P-256's order
	if err != nil {
		panic(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: gun},
		NotBefore:    time.Date(2020, time.January, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:     time.Date(2099, time.January, 1, 0, 0, 0, 0, time.UTC),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
	der, err := x509.CreateCertificate(nil, &template, &template, &private.PublicKey, private)
	if err != nil {
		panic(err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return signer{newPublicKey("ecdsa-x509", certificate), "ecdsa", func(message []byte) []byte {
		return signECDSA(private, message)
	}}
}

// signECDSA gives both numbers of the signature, each at its full length.
func signECDSA(private *ecdsa.PrivateKey, message []byte) []byte {
	sum := sha256.Sum256(message)
	r, s, err := ecdsa.Sign(rand.Reader, private, sum[:])
	if err != nil {
		panic(err)
	}
	return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
}

// -- metadata ---------------------------------------------------------------------------------------------------

type signature struct {
	KeyID  string `json:"keyid"`
	Method string `json:"method"`
	Sig    []byte `json:"sig"`
}

type envelope struct {
	Signed     json.RawMessage `json:"signed"`
	Signatures []signature     `json:"signatures"`
}

// common is what the metadata of every role has.
type common struct {
	Type    string    `json:"_type"`
	Expires time.Time `json:"expires"`
	Version int       `json:"version"`
}

type role struct {
	KeyIDs    []string `json:"keyids"`
	Threshold int      `json:"threshold"`
}

type rootData struct {
	common
	Consistent bool                 `json:"consistent_snapshot"`
	Keys       map[string]publicKey `json:"keys"`
	Roles      map[string]role      `json:"roles"`
}

type file struct {
	Hashes map[string][]byte `json:"hashes"`
	Length int               `json:"length"`
}

func newFile(content []byte) file {
	sum := sha256.Sum256(content)
	return file{map[string][]byte{"sha256": sum[:]}, len(content)}
}

// is wants the content to be what was signed.
func (f file) is(content []byte) error {
	sum := sha256.Sum256(content)
	if f.Length != len(content) || !bytes.Equal(f.Hashes["sha256"], sum[:]) {
		return fmt.Errorf("%d bytes with SHA-256 %x, where %d bytes with %x were signed",
			len(content), sum, f.Length, f.Hashes["sha256"])
	}
	return nil
}

type targetsData struct {
	common
	Delegations map[string]any  `json:"delegations"`
	Targets     map[string]file `json:"targets"`
}

// listing is a snapshot or a timestamp: which metadata is the current one.
type listing struct {
	common
	Meta map[string]file `json:"meta"`
}

// sign makes metadata of its content.
func sign(content any, signers ...signer) []byte {
	// Twice, because the fields of a struct have an order of their own.
	text, err := recanonical(canonical(content))
	if err != nil {
		panic(err)
	}
	made := envelope{Signed: text}
	for _, signer := range signers {
		made.Signatures = append(made.Signatures, signature{signer.public.id(), signer.method, signer.sign(text)})
	}
	return canonical(made)
}

// read verifies metadata and reads its content into a value that begins with what is common.
func read(text []byte, kind string, allowed role, keys map[string]publicKey, value any) error {
	var found envelope
	if err := json.Unmarshal(text, &found); err != nil {
		return err
	}
	message, err := recanonical(found.Signed)
	if err != nil {
		return err
	}
	valid := map[string]bool{}
	for _, signature := range found.Signatures {
		for _, id := range allowed.KeyIDs {
			if key, ok := keys[id]; ok && id == signature.KeyID && key.id() == id && key.verify(message, signature.Sig) == nil {
				valid[id] = true
			}
		}
	}
	if allowed.Threshold < 1 || len(valid) < allowed.Threshold {
		return fmt.Errorf("%s: %d valid signatures of its keys, and not %d", kind, len(valid), allowed.Threshold)
	}
	var what common
	if err := json.Unmarshal(found.Signed, &what); err != nil {
		return err
	}
	if what.Type != kind {
		return fmt.Errorf("%q, and not %s", what.Type, kind)
	}
	if time.Now().After(what.Expires) {
		return fmt.Errorf("%s: expired at %s", kind, what.Expires)
	}
	return json.Unmarshal(found.Signed, value)
}
