// Uploads a file with the package tus-js-client, over mutual TLS, as any tus client would.
// Reads what to do as JSON from stdin: endpoint, file, metadata, certificate, key, authority (paths), and, if wanted,
// chunkSize, retryDelays and uploadUrl (to go on). Answers with {"url", "offsets": [where it went on], "error"}.
import { createReadStream, readFileSync } from "node:fs";
import { Agent } from "node:https";
import * as tus from "tus-js-client";

const { endpoint, file, metadata, certificate, key, authority, stopAfter, ...options } = JSON.parse(readFileSync(0, "utf8"));
const agent = new Agent({ cert: readFileSync(certificate), key: readFileSync(key), ca: readFileSync(authority) });
const offsets = [];

const error = await new Promise((resolve) => {
  const upload = new tus.Upload(createReadStream(file), {
    ...options,
    endpoint,
    metadata,
    httpStack: new tus.DefaultHttpStack({ agent }),
    onBeforeRequest: (request) => {
      if (request.getMethod() === "PATCH") offsets.push(Number(request.getHeader("Upload-Offset")));
    },
    onUploadUrlAvailable: () => (options.uploadUrl = upload.url),
    onChunkComplete: (_size, accepted) => {
      if (stopAfter && accepted >= stopAfter) upload.abort().then(() => resolve(null));
    },
    onError: (failure) => resolve(String(failure.message)),
    onSuccess: () => resolve(null),
  });
  upload.start();
});
process.stdout.write(JSON.stringify({ url: options.uploadUrl ?? null, offsets, error }));
process.exit(0);
