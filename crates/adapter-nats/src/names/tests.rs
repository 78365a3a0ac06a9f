use super::{Ids, Names, consumer, group};
use ports::broker::{GroupName, NAME_LEN_MAX, TopicName};

const ODD: [&str; 9] = ["a.b", "a/b", "a:b", "a_1", "_", "..", "A@b-c", "x_", "1"];

#[test]
fn names_come_back_as_they_were() {
    let names = Names::new("my_shop-1");
    let long = "./".repeat(NAME_LEN_MAX / 2);
    for name in ODD.into_iter().chain([long.as_str()]) {
        let (topic, of) = (TopicName::new(name), GroupName::new(name));
        let (topic, of) = (topic.expect("it is a name"), of.expect("it is a name"));
        let stream = names.stream(&topic);
        assert_eq!(names.topic(&stream), Some(topic.clone()), "{stream}");
        let name = consumer(&of, u64::MAX);
        assert_eq!(group(&name), Some((of, u64::MAX)), "{name}");
        for text in [stream, name] {
            assert!(text.len() <= 255 && !text.contains(['.', '/', ' ', '*', '>']), "{text}");
        }
        let subject = names.subject(&topic, Ids::Compared);
        assert_eq!(subject.split('.').count(), 3, "{subject}");
        assert_ne!(subject, names.subject(&topic, Ids::Free));
    }
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let names = Names::new("shop");
    for stream in ["shop", "shop-2=a", "shopa", "=a", "a", "shop=", "shop=a b", "KV_shop"] {
        assert_eq!(names.topic(stream), None, "{stream}");
    }
    for name in ["", "reader-1", "g", "g_", "g_x", "_1", "a b_1", "g_-1"] {
        assert_eq!(group(name), None, "{name}");
    }
}
