// Seals and opens files with the package age-encryption, an implementation of age that is not ours.
// Reads a list of jobs as JSON from stdin (secrets stay out of the process list) and answers with a list on stdout.
import { readFileSync, writeFileSync } from "node:fs";
import * as age from "age-encryption";

const work = {
  async generate({ kind }) {
    const identity = await (kind === "hybrid" ? age.generateHybridIdentity() : age.generateX25519Identity());
    return { identity, recipient: await age.identityToRecipient(identity) };
  },
  async seal({ input, output, recipients = [], passphrase, workFactor, armored }) {
    const encrypter = new age.Encrypter();
    recipients.forEach((recipient) => encrypter.addRecipient(recipient));
    if (passphrase) encrypter.setPassphrase(passphrase);
    if (workFactor) encrypter.setScryptWorkFactor(workFactor);
    const sealed = await encrypter.encrypt(new Uint8Array(readFileSync(input)));
    writeFileSync(output, armored ? age.armor.encode(sealed) : sealed);
    return {};
  },
  async open({ input, output, identities = [], passphrase }) {
    const decrypter = new age.Decrypter();
    identities.forEach((identity) => decrypter.addIdentity(identity));
    if (passphrase) decrypter.addPassphrase(passphrase);
    writeFileSync(output, await decrypter.decrypt(new Uint8Array(readFileSync(input))));
    return {};
  },
};

const answers = [];
for (const job of JSON.parse(readFileSync(0, "utf8"))) {
  answers.push(await work[job.do](job));
}
console.log(JSON.stringify(answers));
