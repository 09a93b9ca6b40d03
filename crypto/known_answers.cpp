// Known answers of the self-test. The AEAD and cipher values are the published ones; HMACs over CBC
// were computed by two other implementations.
#include "crypto/self_test.h"

namespace sealwire::crypto {
namespace {

constexpr KnownAnswer kAnswers[] = {
    // clang-format off
    // GCM specification, test case 4
    {Algorithm::aes_gcm_128,
       "feffe9928665731c6d6a8f9467308308",
       "cafebabefacedbaddecaf888",
       "feedfacedeadbeeffeedfacedeadbeefabaddad2",
       "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c9595680953"
       "2fcf0e2449a6b525b16aedf5aa0de657ba637b39",
       "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c"
       "7d8f6a5aac84aa051ba30b396a0aac973d58e091",
       "5bc94fbc3221a5db94fae95ae7121a47",
       std::nullopt},
    // GCM specification, test case 10
    {Algorithm::aes_gcm_192,
       "feffe9928665731c6d6a8f9467308308feffe9928665731c",
       "cafebabefacedbaddecaf888",
       "feedfacedeadbeeffeedfacedeadbeefabaddad2",
       "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c9595680953"
       "2fcf0e2449a6b525b16aedf5aa0de657ba637b39",
       "3980ca0b3c00e841eb06fac4872a2757859e1ceaa6efd984628593b40ca1e19c7d773d00c144c525"
       "ac619d18c84a3f4718e2448b2fe324d9ccda2710",
       "2519498e80f1478f37ba55bd6d27618c",
       std::nullopt},
    // GCM specification, test case 16
    {Algorithm::aes_gcm_256,
       "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
       "cafebabefacedbaddecaf888",
       "feedfacedeadbeeffeedfacedeadbeefabaddad2",
       "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c9595680953"
       "2fcf0e2449a6b525b16aedf5aa0de657ba637b39",
       "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3d"
       "a7b08b1056828838c5f61e6393ba7a0abcc9f662",
       "76fc6ece0f4e1768cddf8853bb2d551b",
       std::nullopt},
    // integrity only, as MACsec uses it
    {Algorithm::aes_gcm_128,
       "feffe9928665731c6d6a8f9467308308",
       "cafebabefacedbaddecaf888",
       "feedfacedeadbeeffeedfacedeadbeefabaddad2d9313225f88406e5a55909c5aff5269a86a7a953"
       "1534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
       "",
       "",
       "4b28357f198fc8344618fa46306b827f",
       std::nullopt},
    // the same value as RFC 4543 ESP uses it
    {Algorithm::aes_gmac_128,
       "feffe9928665731c6d6a8f9467308308",
       "cafebabefacedbaddecaf888",
       "feedfacedeadbeeffeedfacedeadbeefabaddad2d9313225f88406e5a55909c5aff5269a86a7a953"
       "1534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
       "",
       "",
       "4b28357f198fc8344618fa46306b827f",
       std::nullopt},
    // integrity only, as MACsec uses it
    {Algorithm::aes_gcm_192,
       "feffe9928665731c6d6a8f9467308308feffe9928665731c",
       "cafebabefacedbaddecaf888",
       "feedfacedeadbeeffeedfacedeadbeefabaddad2d9313225f88406e5a55909c5aff5269a86a7a953"
       "1534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
       "",
       "",
       "5f70391519f7e810802c62db1ec200d9",
       std::nullopt},
    // the same value as RFC 4543 ESP uses it
    {Algorithm::aes_gmac_192,
       "feffe9928665731c6d6a8f9467308308feffe9928665731c",
       "cafebabefacedbaddecaf888",
       "feedfacedeadbeeffeedfacedeadbeefabaddad2d9313225f88406e5a55909c5aff5269a86a7a953"
       "1534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
       "",
       "",
       "5f70391519f7e810802c62db1ec200d9",
       std::nullopt},
    // integrity only, as MACsec uses it
    {Algorithm::aes_gcm_256,
       "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
       "cafebabefacedbaddecaf888",
       "feedfacedeadbeeffeedfacedeadbeefabaddad2d9313225f88406e5a55909c5aff5269a86a7a953"
       "1534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
       "",
       "",
       "d2815d60242e7b0cce0d89ff32c5ba8a",
       std::nullopt},
    // the same value as RFC 4543 ESP uses it
    {Algorithm::aes_gmac_256,
       "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
       "cafebabefacedbaddecaf888",
       "feedfacedeadbeeffeedfacedeadbeefabaddad2d9313225f88406e5a55909c5aff5269a86a7a953"
       "1534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
       "",
       "",
       "d2815d60242e7b0cce0d89ff32c5ba8a",
       std::nullopt},
    // RFC 8439 section 2.8.2
    {Algorithm::chacha20_poly1305,
       "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
       "070000004041424344454647",
       "50515253c0c1c2c3c4c5c6c7",
       "4c616469657320616e642047656e746c656d656e206f662074686520636c617373206f6620273939"
       "3a204966204920636f756c64206f6666657220796f75206f6e6c79206f6e652074697020666f7220"
       "746865206675747572652c2073756e73637265656e20776f756c642062652069742e",
       "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca96712"
       "82fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58"
       "fab324e4fad675945585808b4831d7bc3ff4def08e4b7a9de576d26586cec64b6116",
       "1ae10b594f09e26a7e902ecbd0600691",
       std::nullopt},
    // RFC 2202 test case 1
    {Algorithm::null_hmac_sha1_96,
       "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b",
       "",
       "4869205468657265",
       "",
       "",
       "b617318655057264e28bc0b6",
       std::nullopt},
    // RFC 4868 section 2.7.2, AUTH256-1
    {Algorithm::null_hmac_sha256_128,
       "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b",
       "",
       "4869205468657265",
       "",
       "",
       "198a607eb44bfbc69903a0f1cf2bbdc5",
       std::nullopt},
    // RFC 4868 section 2.7.2, AUTH384-1
    {Algorithm::null_hmac_sha384_192,
       "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"
       "0b0b0b0b0b0b0b0b",
       "",
       "4869205468657265",
       "",
       "",
       "b6a8d5636f5c6a7224f9977dcf7ee6c7fb6d0c48cbdee973",
       std::nullopt},
    // RFC 4868 section 2.7.2, AUTH512-1
    {Algorithm::null_hmac_sha512_256,
       "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"
       "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b",
       "",
       "4869205468657265",
       "",
       "",
       "637edc6e01dce7e6742a99451aae82df23da3e92439e590e43e761b33e910fb8",
       std::nullopt},
    // SP 800-38A F.2.1; iv is the inverse cipher of its IV
    {Algorithm::aes_cbc_128_hmac_sha1_96,
       "2b7e151628aed2a6abf7158809cf4f3c0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b",
       "2880adbdde2a0ea9dc72a7bf6201ec72",
       "0000010000000001",
       "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411"
       "e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710",
       "000102030405060708090a0b0c0d0e0f7649abac8119b246cee98e9b12e9197d5086cb9b507219ee"
       "95db113a917678b273bed6b8e3c1743b7116e69e222295163ff1caa1681fac09120eca307586e1a7",
       "28ba177898ecd7d2f90dc929",
       std::nullopt},
    // the same with the ESN's high word
    {Algorithm::aes_cbc_128_hmac_sha1_96,
       "2b7e151628aed2a6abf7158809cf4f3c0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b",
       "2880adbdde2a0ea9dc72a7bf6201ec72",
       "0000010000000001",
       "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411"
       "e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710",
       "000102030405060708090a0b0c0d0e0f7649abac8119b246cee98e9b12e9197d5086cb9b507219ee"
       "95db113a917678b273bed6b8e3c1743b7116e69e222295163ff1caa1681fac09120eca307586e1a7",
       "4e9a7cb6b34fe3c9442602f3",
       0x01020304},
    // SP 800-38A F.2.1; iv is the inverse cipher of its IV
    {Algorithm::aes_cbc_128_hmac_sha256_128,
       "2b7e151628aed2a6abf7158809cf4f3c0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"
       "0b0b0b0b0b0b0b0b",
       "2880adbdde2a0ea9dc72a7bf6201ec72",
       "0000010000000001",
       "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411"
       "e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710",
       "000102030405060708090a0b0c0d0e0f7649abac8119b246cee98e9b12e9197d5086cb9b507219ee"
       "95db113a917678b273bed6b8e3c1743b7116e69e222295163ff1caa1681fac09120eca307586e1a7",
       "349a2be9b8ef6bbf56bfa26a8c4cfa12",
       std::nullopt},
    // the same with the ESN's high word
    {Algorithm::aes_cbc_128_hmac_sha256_128,
       "2b7e151628aed2a6abf7158809cf4f3c0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"
       "0b0b0b0b0b0b0b0b",
       "2880adbdde2a0ea9dc72a7bf6201ec72",
       "0000010000000001",
       "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411"
       "e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710",
       "000102030405060708090a0b0c0d0e0f7649abac8119b246cee98e9b12e9197d5086cb9b507219ee"
       "95db113a917678b273bed6b8e3c1743b7116e69e222295163ff1caa1681fac09120eca307586e1a7",
       "094e5cae7ff17c2da9dafab734572699",
       0x01020304},
    // SP 800-38A F.2.1; iv is the inverse cipher of its IV
    {Algorithm::aes_cbc_128_hmac_sha384_192,
       "2b7e151628aed2a6abf7158809cf4f3c0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"
       "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b",
       "2880adbdde2a0ea9dc72a7bf6201ec72",
       "0000010000000001",
       "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411"
       "e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710",
       "000102030405060708090a0b0c0d0e0f7649abac8119b246cee98e9b12e9197d5086cb9b507219ee"
       "95db113a917678b273bed6b8e3c1743b7116e69e222295163ff1caa1681fac09120eca307586e1a7",
       "ba63c29570db2a26e61c38b18f2205a57265f906156b353d",
       std::nullopt},
    // the same with the ESN's high word
    {Algorithm::aes_cbc_128_hmac_sha384_192,
       "2b7e151628aed2a6abf7158809cf4f3c0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"
       "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b",
       "2880adbdde2a0ea9dc72a7bf6201ec72",
       "0000010000000001",
       "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411"
       "e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710",
       "000102030405060708090a0b0c0d0e0f7649abac8119b246cee98e9b12e9197d5086cb9b507219ee"
       "95db113a917678b273bed6b8e3c1743b7116e69e222295163ff1caa1681fac09120eca307586e1a7",
       "5321eb31086fe327e16adfa6e9180829b560be85d8610260",
       0x01020304},
    // SP 800-38A F.2.1; iv is the inverse cipher of its IV
    {Algorithm::aes_cbc_128_hmac_sha512_256,
       "2b7e151628aed2a6abf7158809cf4f3c0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"
       "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b",
       "2880adbdde2a0ea9dc72a7bf6201ec72",
       "0000010000000001",
       "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411"
       "e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710",
       "000102030405060708090a0b0c0d0e0f7649abac8119b246cee98e9b12e9197d5086cb9b507219ee"
       "95db113a917678b273bed6b8e3c1743b7116e69e222295163ff1caa1681fac09120eca307586e1a7",
       "045dcb8fde1cdbd5814ddc9a325ba811b0b30e59ce631af3c8a06c734c1074ff",
       std::nullopt},
    // the same with the ESN's high word
    {Algorithm::aes_cbc_128_hmac_sha512_256,
       "2b7e151628aed2a6abf7158809cf4f3c0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"
       "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b",
       "2880adbdde2a0ea9dc72a7bf6201ec72",
       "0000010000000001",
       "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411"
       "e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710",
       "000102030405060708090a0b0c0d0e0f7649abac8119b246cee98e9b12e9197d5086cb9b507219ee"
       "95db113a917678b273bed6b8e3c1743b7116e69e222295163ff1caa1681fac09120eca307586e1a7",
       "dcb9ffe514d526c8e94e56a4fc47d57d463e3f289def76a24eb21183b9d56533",
       0x01020304},
    // SP 800-38A F.2.3; iv is the inverse cipher of its IV
    {Algorithm::aes_cbc_192_hmac_sha1_96,
       "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"
       "0b0b0b0b",
       "2996ff21b81641c7bef3124e9efe4780",
       "0000010000000001",
       "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411"
       "e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710",
       "000102030405060708090a0b0c0d0e0f4f021db243bc633d7178183a9fa071e8b4d9ada9ad7dedf4"
       "e5e738763f69145a571b242012fb7ae07fa9baac3df102e008b0e27988598881d920a9e64f5615cd",
       "98d3b41294dee73758cf5589",
       std::nullopt},
    // SP 800-38A F.2.3; iv is the inverse cipher of its IV
    {Algorithm::aes_cbc_192_hmac_sha256_128,
       "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"
       "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b",
       "2996ff21b81641c7bef3124e9efe4780",
       "0000010000000001",
       "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411"
       "e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710",
       "000102030405060708090a0b0c0d0e0f4f021db243bc633d7178183a9fa071e8b4d9ada9ad7dedf4"
       "e5e738763f69145a571b242012fb7ae07fa9baac3df102e008b0e27988598881d920a9e64f5615cd",
       "b5e34480f6afb4079fd7744eb6ace171",
       std::nullopt},
    // SP 800-38A F.2.3; iv is the inverse cipher of its IV
    {Algorithm::aes_cbc_192_hmac_sha384_192,
       "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"
       "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b",
       "2996ff21b81641c7bef3124e9efe4780",
       "0000010000000001",
       "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411"
       "e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710",
       "000102030405060708090a0b0c0d0e0f4f021db243bc633d7178183a9fa071e8b4d9ada9ad7dedf4"
       "e5e738763f69145a571b242012fb7ae07fa9baac3df102e008b0e27988598881d920a9e64f5615cd",
       "e2b697455840dd952866fa6b8e9810ea60597f9a677ccd4f",
       std::nullopt},
    // SP 800-38A F.2.3; iv is the inverse cipher of its IV
    {Algorithm::aes_cbc_192_hmac_sha512_256,
       "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"
       "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"
       "0b0b0b0b0b0b0b0b",
       "2996ff21b81641c7bef3124e9efe4780",
       "0000010000000001",
       "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411"
       "e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710",
       "000102030405060708090a0b0c0d0e0f4f021db243bc633d7178183a9fa071e8b4d9ada9ad7dedf4"
       "e5e738763f69145a571b242012fb7ae07fa9baac3df102e008b0e27988598881d920a9e64f5615cd",
       "0a6ed6228dad628d6925a1a025a3b45b1678b00ee6ad1f81a581753fad53abab",
       std::nullopt},
    // SP 800-38A F.2.5; iv is the inverse cipher of its IV
    {Algorithm::aes_cbc_256_hmac_sha1_96,
       "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff40b0b0b0b0b0b0b0b"
       "0b0b0b0b0b0b0b0b0b0b0b0b",
       "393e4e6cdf9b1fc836120fa2a3d8f140",
       "0000010000000001",
       "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411"
       "e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710",
       "000102030405060708090a0b0c0d0e0ff58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d"
       "679f777bc6702c7d39f23369a9d9bacfa530e26304231461b2eb05e2c39be9fcda6c19078c6a9d1b",
       "8ad92e3f9a51496f86cb1224",
       std::nullopt},
    // SP 800-38A F.2.5; iv is the inverse cipher of its IV
    {Algorithm::aes_cbc_256_hmac_sha256_128,
       "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff40b0b0b0b0b0b0b0b"
       "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b",
       "393e4e6cdf9b1fc836120fa2a3d8f140",
       "0000010000000001",
       "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411"
       "e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710",
       "000102030405060708090a0b0c0d0e0ff58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d"
       "679f777bc6702c7d39f23369a9d9bacfa530e26304231461b2eb05e2c39be9fcda6c19078c6a9d1b",
       "c1fdce994f9d4e424991d4820972d312",
       std::nullopt},
    // SP 800-38A F.2.5; iv is the inverse cipher of its IV
    {Algorithm::aes_cbc_256_hmac_sha384_192,
       "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff40b0b0b0b0b0b0b0b"
       "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b",
       "393e4e6cdf9b1fc836120fa2a3d8f140",
       "0000010000000001",
       "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411"
       "e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710",
       "000102030405060708090a0b0c0d0e0ff58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d"
       "679f777bc6702c7d39f23369a9d9bacfa530e26304231461b2eb05e2c39be9fcda6c19078c6a9d1b",
       "cbecca80e4a16d78bcd5b1bbb4526b5bcfa39ff3c62910dd",
       std::nullopt},
    // SP 800-38A F.2.5; iv is the inverse cipher of its IV
    {Algorithm::aes_cbc_256_hmac_sha512_256,
       "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff40b0b0b0b0b0b0b0b"
       "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"
       "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b",
       "393e4e6cdf9b1fc836120fa2a3d8f140",
       "0000010000000001",
       "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411"
       "e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710",
       "000102030405060708090a0b0c0d0e0ff58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d"
       "679f777bc6702c7d39f23369a9d9bacfa530e26304231461b2eb05e2c39be9fcda6c19078c6a9d1b",
       "0ead86694ed0513aeaf9944afb808493382e23489fb348530d7bc662fcd29c96",
       std::nullopt},
    // clang-format on
};

}  // namespace

std::span<const KnownAnswer> known_answers() { return kAnswers; }

}  // namespace sealwire::crypto
