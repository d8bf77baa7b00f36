// Makes the replica set and the services' user, or sees that they are there. Running it again changes nothing, but
// for the password when the secret has another one.
const secret = (name) => require('fs').readFileSync(`/etc/maidian/secrets/${name}`, 'utf8').trim();
const admin = db.getSiblingDB('admin');
admin.auth('root', secret('mongodb-root-password'));

try {
  rs.status();
} catch (e) {
  if (e.codeName !== 'NotYetInitialized') throw e;
  rs.initiate({ _id: 'maidian', members: [{ _id: 0, host: 'mongodb:27017' }] });
}
while (!db.hello().isWritablePrimary) sleep(100);

const maidian = db.getSiblingDB('maidian');
const user = { pwd: secret('mongodb-password'), roles: [{ role: 'readWrite', db: 'maidian' }] };
if (maidian.getUser('maidian')) maidian.updateUser('maidian', user);
else maidian.createUser({ user: 'maidian', ...user });
