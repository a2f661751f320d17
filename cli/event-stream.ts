// Reads a `text/event-stream` body as the OpenAI API uses it: one `data:` value per event, comments ignored.

/** Yields the `data` of each event; the caller decides what an end without `[DONE]` means. */
export async function* readEvents(body: AsyncIterable<Uint8Array>): AsyncGenerator<string, void> {
  const decoder = new TextDecoder();
  let rest = '';
  let lines: string[] = [];
  for await (const chunk of body) {
    rest += decoder.decode(chunk, { stream: true });
    const complete = rest.split(/\r\n|\n|\r(?!$)/);
    rest = complete.pop() ?? '';
    for (const line of complete) {
      if (line === '') {
        if (lines.length > 0) yield lines.join('\n');
        lines = [];
      } else if (line.startsWith('data:')) {
        lines.push(line.slice(line.startsWith('data: ') ? 6 : 5));
      }
    }
  }
}
