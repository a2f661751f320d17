// WWW-Authenticate: one builder, one form.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { errorCatalogue, GatewayError, type ErrorCode } from '../../core/errors.ts';
import { challengeFor } from '../../gateway/challenge.ts';

const context = {
  resourceMetadataUrl: 'https://gateway.example/.well-known/oauth-protected-resource',
  scopes: ['api://sallyport/LLM.Access'],
};
const metadata = `resource_metadata="${context.resourceMetadataUrl}"`;
const offered = 'DPoP algs="ES256 Ed25519 EdDSA PS256 RS256 ES384 ES512"';

describe('a challenge', () => {
  it('is bare where no credentials came', () => {
    assert.equal(
      challengeFor(new GatewayError('missing_credentials'), context),
      `Bearer realm="sallyport", ${metadata}, ${offered}`,
    );
  });

  it('has the scheme that was presented, with the algorithms of proofs (RFC 9449 §7.1)', () => {
    const dpop = { ...context, presentedScheme: 'DPoP' } as const;
    const bearer = { ...context, presentedScheme: 'Bearer' } as const;
    for (const code of ['invalid_token', 'invalid_request', 'insufficient_scope'] as const) {
      const refusal = new GatewayError(code);
      assert.match(
        challengeFor(refusal, dpop) ?? '',
        new RegExp(`^DPoP realm="[^"]+", error="${code}".*algs="`),
      );
      assert.match(challengeFor(refusal, bearer) ?? '', new RegExp(`^Bearer realm="[^"]+", error="${code}"`));
    }
  });

  it('has the scheme DPoP where the fault lies in the proof, and no other', () => {
    for (const code of ['invalid_dpop_proof', 'use_dpop_nonce'] as const) {
      const challenge = challengeFor(new GatewayError(code), context) ?? '';
      assert.match(challenge, new RegExp(`^DPoP realm="sallyport", error="${code}", error_description="`));
      assert.doesNotMatch(challenge, /Bearer/);
    }
  });

  it('offers DPoP beside Bearer only where another credential would help', () => {
    assert.doesNotMatch(challengeFor(new GatewayError('insufficient_scope'), context) ?? '', /DPoP/);
    assert.doesNotMatch(challengeFor(new GatewayError('invalid_request'), context) ?? '', /DPoP/);
  });

  it('names error and description of a bad token, and never the private reason', () => {
    const challenge = challengeFor(new GatewayError('invalid_token', { reason: 'aud' }), context);
    const description = errorCatalogue.invalid_token.message;
    assert.equal(
      challenge,
      `Bearer realm="sallyport", error="invalid_token", error_description="${description}", ${metadata}, ${offered}`,
    );
    assert.equal(
      challenge,
      challengeFor(new GatewayError('invalid_token', { reason: 'signature' }), context),
    );
  });

  it('names the scopes that are needed', () => {
    const challenge = challengeFor(new GatewayError('insufficient_scope'), {
      ...context,
      scopes: ['a', 'b'],
    });
    assert.match(
      challenge ?? '',
      /error="insufficient_scope", error_description="[^"]+", scope="a b", resource_metadata=/,
    );
    assert.doesNotMatch(
      challengeFor(new GatewayError('insufficient_scope'), { ...context, scopes: [] }) ?? '',
      /scope=/,
    );
    assert.doesNotMatch(challengeFor(new GatewayError('invalid_token'), context) ?? '', /scope=/);
  });

  it('exists for every 401 of the catalogue, and only for codes that say so', () => {
    for (const code of Object.keys(errorCatalogue) as ErrorCode[]) {
      const challenge = challengeFor(new GatewayError(code), context);
      assert.equal(challenge === null, errorCatalogue[code].challenge === null, code);
      // RFC 9110 §15.5.2: a 401 carries at least one challenge.
      if (errorCatalogue[code].status === 401) assert.notEqual(challenge, null, code);
    }
  });

  it('cannot be broken out of by what it quotes', () => {
    const hostile = {
      resourceMetadataUrl: 'https://x/"\r\nset-cookie: a=b\\',
      scopes: ['a" , error="x', 'é'],
    };
    const challenge = challengeFor(new GatewayError('insufficient_scope'), hostile) ?? '';
    assert.match(challenge, /^Bearer( [a-z_]+="[\x20\x21\x23-\x5b\x5d-\x7e]*",?)+$/);
    assert.equal(challenge.split('"').length - 1, 2 * 5);
  });
});
