// A contestant's guard is tried before it is timed: figures of one that lets everybody in would mean nothing.

/** Status of one chat request, with an access token or without one. */
async function statusOf({ port, headers }, body, accessToken) {
  const answer = await fetch(`http://127.0.0.1:${port}/v1/chat/completions`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      ...headers,
      ...(accessToken === null ? {} : { authorization: `Bearer ${accessToken}` }),
    },
    body,
  });
  await answer.arrayBuffer();
  return answer.status;
}

/** The same token with another signature. */
export function withChangedSignature(accessToken) {
  const [header, payload, signature] = accessToken.split('.');
  return `${header}.${payload}.${signature.startsWith('A') ? 'B' : 'A'}${signature.slice(1)}`;
}

/**
 * Checks: a valid access token 200; none 401; a changed signature 401; one that somebody else signed 401.
 * Does not check: claims, roles and limits of each contestant (its own configuration states them).
 * @throws Error naming what was seen
 */
export async function checkGuard({ name, guards, part }, { body, valid, foreign }) {
  // Keys of an issuer may be fetched in the background; the first moments may answer 503.
  let first = await statusOf(part, body, valid);
  for (let tries = 0; tries < 100 && first === 503; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    first = await statusOf(part, body, valid);
  }
  if (!guards) {
    if (first !== 200) throw new Error(`${name} answers ${first} instead of 200`);
    return;
  }
  const seen = [first];
  for (const accessToken of [null, withChangedSignature(valid), foreign])
    seen.push(await statusOf(part, body, accessToken));
  if (seen.join() !== '200,401,401,401')
    throw new Error(`${name} does not guard as it should: ${seen.join()} instead of 200,401,401,401`);
}
