// Why a credential was refused, in plain words: which line of issuers.yaml asks for what, and what the token says.
import { identityTypeOf } from '../../gateway/authenticate/entra-claims.ts';
import type { IssuerRules } from '../../gateway/authenticate/issuer-rules.ts';
import type { Answer } from '../../gateway/policies/evaluation/evaluate.ts';
import type { OpenedPolicies } from './opened-policies.ts';
import type { Explanation } from './reason-words.ts';
import { shownList, shownTime, shownValue } from './shown-value.ts';

/** Why authenticate refused. */
export function explainAuthentication(answer: Answer, opened: OpenedPolicies): Explanation {
  const { refusal, accessToken, issuer } = answer;
  const reason = refusal?.reason ?? '';
  if (reason === 'no_credentials')
    return {
      place: opened.placeOf('routes.yaml', ['routes', answer.route.name]),
      text: 'the route needs a credential, and none was sent',
    };
  if (reason === 'iss') {
    const names = Object.keys(opened.bundle.issuers.issuers).join(', ');
    const said = shownValue(accessToken?.claims['iss']);
    return {
      place: opened.placeOf('issuers.yaml', ['issuers']),
      text: `no issuer (${names}) has the exact iss ${said}`,
    };
  }
  if (reason.startsWith('certificate_')) {
    const words = certificateWords[reason] ?? `the certificate does not pass the check ${reason}`;
    return { place: opened.placeOf('issuers.yaml', ['client_certificates']), text: words };
  }
  if (issuer === null || accessToken === null)
    return { place: null, text: `the token is not well-formed (${reason})` };
  const read = { type: accessToken.type, algorithm: accessToken.algorithm, claims: accessToken.claims };
  const required = /^required_claim_(.*)$/.exec(reason)?.[1];
  const [path, text] =
    required === undefined
      ? (wordsFor[reason]?.(issuer, read) ?? [[], `the token does not pass the check ${reason}`])
      : requiredClaimWords(required, issuer, read);
  return { place: opened.placeOf('issuers.yaml', ['issuers', issuer.name, ...path]), text };
}

const certificateWords: Readonly<Record<string, string>> = {
  certificate_unknown: 'no entry has conditions that this certificate meets',
  certificate_usage: 'the certificate is an authority or does not list client authentication among its uses',
  certificate_expired: 'the certificate is not valid at this time',
  certificate_form: 'the certificate cannot be read',
};

interface ReadToken {
  readonly type: string;
  readonly algorithm: string;
  readonly claims: Readonly<Record<string, unknown>>;
}

/** A key below the issuer's entry and the sentence about it. */
type Words = readonly [path: readonly string[], text: string];

function requiredClaimWords(name: string, { requiredClaims }: IssuerRules, { claims }: ReadToken): Words {
  const rule = requiredClaims.find((each) => each.name === name);
  const wanted = `${rule?.match ?? 'all'} of ${shownList(rule?.values ?? [])}`;
  return [
    ['required_claims', name],
    `requires ${name} with ${wanted}; the token says ${shownValue(claims[name])}`,
  ];
}

/** By private reason; the others are named as they are. */
const wordsFor: Readonly<Record<string, (issuer: IssuerRules, read: ReadToken) => Words>> = {
  aud: ({ audiences }, { claims }) => [
    ['audiences'],
    `accepts the audiences ${shownList(audiences ?? [])}; the token says ${shownValue(claims['aud'])}`,
  ],
  client_id: ({ clientIds }, { claims }) => {
    const client = claims['azp'] ?? claims['appid'] ?? claims['client_id'];
    return [
      ['client_ids'],
      typeof client === 'string' && clientIds?.has(client) === false
        ? `does not list the client ${shownValue(client)}`
        : `needs a client id in the claim that this kind of token has for it; the token's is ${shownValue(client)}`,
    ];
  },
  client_audience: ({ clientAudiences }, { claims }) => {
    const client = String(claims['azp'] ?? claims['appid'] ?? claims['client_id']);
    return [
      ['client_audiences', client],
      `lets the client ${shownValue(client)} use the audiences ${shownList(clientAudiences.get(client) ?? [])}; the token says ${shownValue(claims['aud'])}`,
    ];
  },
  identity_type: ({ entra }, { claims }) => [
    ['entra', 'identity_type'],
    `accepts tokens of identity type ${entra?.identityType ?? ''}; this one is ${identityTypeOf(claims)} (idtyp ${shownValue(claims['idtyp'])}, scp ${shownValue(claims['scp'])})`,
  ],
  client_authentication: ({ entra }, { claims }) => [
    ['entra', 'client_authentication'],
    `asks for a client that authenticated by ${entra?.clientAuthentication ?? ''}; the token says ${shownValue(claims[entra?.version === '1.0' ? 'appidacr' : 'azpacr'])}`,
  ],
  typ: ({ types }, { type }) => [
    ['token_types'],
    `accepts the types ${shownList(types)}; the header says ${shownValue(type)}`,
  ],
  alg: ({ algorithms }, { algorithm }) => [
    ['algorithms'],
    `accepts the algorithms ${shownList(algorithms)}; the header says ${shownValue(algorithm)}`,
  ],
  ver: ({ entra }, { claims }) => [
    ['entra', 'versions'],
    `needs ver ${shownValue(entra?.version)} with this iss; the token says ${shownValue(claims['ver'])}`,
  ],
  tid: ({ entra }, { claims }) => [
    ['entra', 'tenant_id'],
    `accepts the tenant ${shownValue(entra?.tenantId)}; the token says ${shownValue(claims['tid'])}`,
  ],
  exp: ({ clockSkewSeconds }, { claims }) => [
    ['clock_skew'],
    `grants ${clockSkewSeconds}s after exp; the token says ${shownTime(claims['exp'])}`,
  ],
  nbf: ({ clockSkewSeconds }, { claims }) => [
    ['clock_skew'],
    `grants ${clockSkewSeconds}s before nbf; the token says ${shownTime(claims['nbf'])}`,
  ],
  sub: ({ claims: places }, { claims }) => [
    ['claims', 'subject'],
    `needs the subject in ${places.subject.join('.')}; the token says ${shownValue(claims[places.subject[0] ?? 'sub'])}`,
  ],
};
